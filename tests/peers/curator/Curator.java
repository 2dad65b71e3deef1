import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** Curator's recipes. */
final class Curator extends Driver {
    /** How long a try waits: an attempt that may not wait at all gives up before its own node is there. */
    private static final long TRY_MILLIS = 1000;

    private final Map<String, CuratorFramework> clients = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        new Curator().run();
    }

    @Override
    Held take(Request request) throws Exception {
        CuratorFramework client = clients.computeIfAbsent(request.address() + " " + request.ttl(), key -> connect(request));
        return switch (request.kind()) {
            case "selector" -> selected(client, request);
            case "latch" -> latched(client, request);
            case "write" -> written(new InterProcessReadWriteLock(client, request.name()), request);
            default -> locked(lock(request.kind(), client, request.name()), request);
        };
    }

    private CuratorFramework connect(Request request) {
        CuratorFramework client = CuratorFrameworkFactory.builder().connectString(request.address())
            .sessionTimeoutMs((int) request.ttl()).connectionTimeoutMs(5_000)
            .retryPolicy(new ExponentialBackoffRetry(100, 6, 1_000)).build();
        // As its documentation demands: what is held is in doubt as soon as the connection is.
        client.getConnectionStateListenable().addListener((changed, state) -> {
            if (!state.isConnected()) {
                held.keySet().forEach(slot -> say(slot, "lost"));
            }
        });
        client.start();
        return client;
    }

    private static InterProcessLock lock(String kind, CuratorFramework client, String path) {
        return switch (kind) {
            case "mutex" -> new InterProcessMutex(client, path);
            case "semaphore" -> new InterProcessSemaphoreMutex(client, path);
            case "read" -> new InterProcessReadWriteLock(client, path).readLock();
            default -> throw new IllegalArgumentException(kind);
        };
    }

    private static Held locked(InterProcessLock lock, Request request) throws Exception {
        if (!request.waits()) {
            return lock.acquire(TRY_MILLIS, TimeUnit.MILLISECONDS) ? lock::release : null;
        }
        lock.acquire();
        return lock::release;
    }

    /** A writer, which becomes a reader when it is told to: on the same thread, as it has to be. */
    private static Held written(InterProcessReadWriteLock lock, Request request) throws Exception {
        if (locked(lock.writeLock(), request) == null) {
            return null;
        }
        return new Held() {
            private InterProcessLock current = lock.writeLock();

            @Override
            public String command(String[] words) throws Exception {
                lock.readLock().acquire();
                current.release();
                current = lock.readLock();
                return "downgraded";
            }

            @Override
            public void unlock() throws Exception {
                current.release();
            }
        };
    }

    /** Leads until it is told to release. */
    private static Held selected(CuratorFramework client, Request request) throws Exception {
        CountDownLatch leads = new CountDownLatch(1);
        CountDownLatch released = new CountDownLatch(1);
        LeaderSelector selector = new LeaderSelector(client, request.name(), new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework its) throws Exception {
                leads.countDown();
                released.await();
            }
        });
        selector.start();
        if (!request.waits() && !leads.await(TRY_MILLIS, TimeUnit.MILLISECONDS)) {
            selector.close();
            return null;
        }
        leads.await();
        return () -> {
            released.countDown();
            selector.close();
        };
    }

    private static Held latched(CuratorFramework client, Request request) throws Exception {
        LeaderLatch latch = new LeaderLatch(client, request.name());
        latch.start();
        if (!request.waits() && !latch.await(TRY_MILLIS, TimeUnit.MILLISECONDS)) {
            latch.close();
            return null;
        }
        latch.await();
        return latch::close;
    }
}
