import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.redisson.Redisson;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;

/** Redisson's locks. */
final class RedissonLocks extends Driver {
    private final Map<String, RedissonClient> clients = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        new RedissonLocks().run();
    }

    @Override
    Held take(Request request) throws Exception {
        RedissonClient client = clients.computeIfAbsent(request.address(), RedissonLocks::connect);
        RLock lock = lock(client, request);
        if (request.kind().equals("watched")) {
            // Without a lease of its own it is renewed.
            lock.lock();
        } else if (request.waits()) {
            lock.lock(request.ttl(), TimeUnit.MILLISECONDS);
        } else if (!lock.tryLock(0, request.ttl(), TimeUnit.MILLISECONDS)) {
            return null;
        }
        return new Held() {
            @Override
            public void unlock() {
                lock.unlock();
            }

            @Override
            public String command(String[] words) {
                // `force NAME`: another lock than the one that it has.
                return "forced " + client.getLock(words[2]).forceUnlock();
            }
        };
    }

    private static RedissonClient connect(String address) {
        Config config = new Config();
        config.setLockWatchdogTimeout(3_000);
        config.useSingleServer().setAddress("redis://" + address).setConnectionMinimumIdleSize(2).setConnectionPoolSize(24)
            .setRetryAttempts(1);
        return Redisson.create(config);
    }

    private static RLock lock(RedissonClient client, Request request) {
        return switch (request.kind()) {
            case "lock", "watched" -> client.getLock(request.name());
            case "fair" -> client.getFairLock(request.name());
            case "fenced" -> client.getFencedLock(request.name());
            case "spin" -> client.getSpinLock(request.name());
            case "read" -> client.getReadWriteLock(request.name()).readLock();
            case "write" -> client.getReadWriteLock(request.name()).writeLock();
            default -> throw new IllegalArgumentException(request.kind());
        };
    }
}
