import java.time.Duration;
import java.util.Optional;
import net.javacrumbs.shedlock.core.ClockProvider;
import net.javacrumbs.shedlock.core.LockConfiguration;
import net.javacrumbs.shedlock.core.LockProvider;
import net.javacrumbs.shedlock.core.SimpleLock;

/** A lock that one of ShedLock's providers gave, for `lockAtMostFor` = the TTL. */
final class ShedLockHeld implements Driver.Held {
    private SimpleLock lock;

    private ShedLockHeld(SimpleLock lock) {
        this.lock = lock;
    }

    static Driver.Held take(LockProvider provider, Driver.Request request) throws Exception {
        Duration most = Duration.ofMillis(request.ttl());
        return Driver.tried(request, () -> provider.lock(new LockConfiguration(ClockProvider.now(), request.name(), most, Duration.ZERO))
            .map(ShedLockHeld::new).orElse(null));
    }

    @Override
    public void unlock() {
        lock.unlock();
    }

    /** `extend MILLIS`: a lock that was extended is another one, and one that was not cannot be released. */
    @Override
    public String command(String[] words) {
        Optional<SimpleLock> extended = lock.extend(Duration.ofMillis(Long.parseLong(words[2])), Duration.ZERO);
        extended.ifPresent(next -> lock = next);
        return extended.isPresent() ? "extended" : "not extended";
    }
}
