import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryOneTime;

/** Acquires a lock, prints `holding`, and releases it at the end of the input: `java Curator.java HOST:PORT PATH`. */
class Curator {
    public static void main(String[] arguments) throws Exception {
        try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], new RetryOneTime(100))) {
            client.start();
            InterProcessMutex mutex = new InterProcessMutex(client, arguments[1]);
            mutex.acquire();
            System.out.println("holding");
            while (System.in.read() >= 0) {}
            mutex.release();
        }
    }
}
