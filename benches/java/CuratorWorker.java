import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** One process of a case with Curator's InterProcessMutex: arguments, input and output are those of worker.rs. */
final class CuratorWorker {
    /** A JVM runs what is new to it slowly: so long it is used to the lock before anything is measured. */
    private static final long WARM_UP_MICROS = 700_000;

    private static long now() {
        java.time.Instant now = java.time.Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    public static void main(String[] arguments) throws Exception {
        String key = arguments[1];
        int tasks = Integer.parseInt(arguments[2]);
        boolean own = arguments[3].equals("own");
        long body = Long.parseLong(arguments[4]);
        CuratorFramework client = CuratorFrameworkFactory.builder().connectString(arguments[0]).sessionTimeoutMs(60_000)
            .retryPolicy(new ExponentialBackoffRetry(100, 6)).build();
        client.start();
        client.blockUntilConnected();
        long warm = now() + WARM_UP_MICROS;
        String other = key + "-warm-up-" + ProcessHandle.current().pid();
        hold(new InterProcessMutex(client, other), 0, warm, new ArrayList<>());

        CountDownLatch begin = new CountDownLatch(1);
        long[] end = new long[1];
        List<List<long[]>> holds = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int task = 0; task < tasks; task++) {
            InterProcessMutex mutex = new InterProcessMutex(client, own ? key + "-" + task : key);
            List<long[]> its = new ArrayList<>();
            holds.add(its);
            Thread thread = new Thread(() -> {
                try {
                    begin.await();
                    hold(mutex, body, end[0], its);
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
    private static void hold(InterProcessMutex mutex, long body, long end, List<long[]> holds) throws Exception {
        for (long requested = now(); requested < end || holds.isEmpty(); requested = now()) {
            mutex.acquire();
            long granted = now();
            if (body > 0) {
                Thread.sleep(body);
            }
            long releasing = now();
            mutex.release();
            holds.add(new long[] {requested, granted, releasing, now()});
        }
    }
}
