import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** One process of a case with Curator's locks: arguments, input and output are those of worker.rs. */
final class CuratorWorker {
    /** A JVM runs what is new to it slowly: so long it is used to the lock before anything is measured. */
    private static final long WARM_UP_MICROS = 700_000;

    private static final int PERMITS = 8;
    private static final int ACCOUNTS = 16;

    private static long now() {
        java.time.Instant now = java.time.Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    /** Acquires, and returns what releases. */
    private interface Lock {
        AutoCloseable acquire() throws Exception;

        static Lock of(InterProcessLock lock) {
            return () -> {
                lock.acquire();
                return lock::release;
            };
        }
    }

    /** What a task's request of each number is for, drawn as in worker.rs. */
    private static IntFunction<Lock> wanted(CuratorFramework client, String wants, String key, int task) {
        switch (wants) {
            case "readers": {
                InterProcessReadWriteLock lock = new InterProcessReadWriteLock(client, key);
                Lock read = Lock.of(lock.readLock());
                Lock write = Lock.of(lock.writeLock());
                return number -> drawn(task, number) % 10 > 0 ? read : write;
            }
            case "permits": {
                InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, key, PERMITS);
                return number -> () -> {
                    Lease lease = semaphore.acquire();
                    return () -> semaphore.returnLease(lease);
                };
            }
            case "accounts":
                return number -> {
                    int one = drawn(task, number) % ACCOUNTS;
                    int other = (one + 1 + drawn(task, number) / ACCOUNTS % (ACCOUNTS - 1)) % ACCOUNTS;
                    // Two that take them in different orders would wait for each other.
                    List<String> paths = Stream.of(Math.min(one, other), Math.max(one, other)).map(account -> key + "-" + account).toList();
                    return Lock.of(new InterProcessMultiLock(client, paths));
                };
            default: {
                Lock lock = Lock.of(new InterProcessMutex(client, wants.equals("own") ? key + "-" + task : key));
                return number -> lock;
            }
        }
    }

    private static int drawn(int task, int number) {
        return (task * 7919 + number) * (int) 2_654_435_761L >>> 16;
    }

    public static void main(String[] arguments) throws Exception {
        String key = arguments[1];
        int tasks = Integer.parseInt(arguments[2]);
        String wants = arguments[3];
        long body = Long.parseLong(arguments[4]);
        CuratorFramework client = CuratorFrameworkFactory.builder().connectString(arguments[0]).sessionTimeoutMs(60_000)
            .retryPolicy(new ExponentialBackoffRetry(100, 6)).build();
        client.start();
        client.blockUntilConnected();
        long warm = now() + WARM_UP_MICROS;
        String other = key + "-warm-up-" + ProcessHandle.current().pid();
        hold(wanted(client, wants, other, 0), 0, warm, new ArrayList<>());

        CountDownLatch begin = new CountDownLatch(1);
        long[] end = new long[1];
        List<List<long[]>> holds = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int task = 0; task < tasks; task++) {
            IntFunction<Lock> locks = wanted(client, wants, key, task);
            List<long[]> its = new ArrayList<>();
            holds.add(its);
            Thread thread = new Thread(() -> {
                try {
                    begin.await();
                    hold(locks, body, end[0], its);
                } catch (Exception error) {
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1);
                }
            });
            thread.start();
            threads.add(thread);
        }
        System.out.println("ready");
        end[0] = Long.parseLong(new BufferedReader(new InputStreamReader(System.in)).readLine().trim());
        begin.countDown();
        for (Thread thread : threads) {
            thread.join();
        }
        StringBuilder text = new StringBuilder();
        for (List<long[]> its : holds) {
            for (long[] hold : its) {
                text.append(hold[0]).append(' ').append(hold[1]).append(' ').append(hold[2]).append(' ').append(hold[3]);
                text.append('\n');
            }
        }
        System.out.print(text.append("end\n"));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    /** At least once, however late this process began. */
    private static void hold(IntFunction<Lock> locks, long body, long end, List<long[]> holds) throws Exception {
        int number = 0;
        for (long requested = now(); requested < end || holds.isEmpty(); requested = now()) {
            AutoCloseable held = locks.apply(number++).acquire();
            long granted = now();
            if (body > 0) {
                Thread.sleep(body);
            }
            long releasing = now();
            held.close();
            holds.add(new long[] {requested, granted, releasing, now()});
        }
    }
}
