import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import net.javacrumbs.shedlock.core.LockProvider;
import net.javacrumbs.shedlock.provider.redis.jedis4.JedisLockProvider;
import org.apache.commons.pool2.impl.GenericObjectPoolConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPool;

/** ShedLock on Redis: its environment is the kind, and its keys are `job-lock:KIND:NAME`. */
final class ShedLockRedis extends Driver {
    private final Map<String, LockProvider> providers = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        new ShedLockRedis().run();
    }

    @Override
    Held take(Request request) throws Exception {
        return ShedLockHeld.take(providers.computeIfAbsent(request.kind() + " " + request.address(), key -> connect(request)), request);
    }

    private static LockProvider connect(Request request) {
        String[] address = request.address().split(":");
        GenericObjectPoolConfig<Jedis> config = new GenericObjectPoolConfig<>();
        config.setMaxTotal(24);
        return new JedisLockProvider(new JedisPool(config, address[0], Integer.parseInt(address[1])), request.kind());
    }
}
