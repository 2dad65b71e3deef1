import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Drives another project's lock by lines; tests/support/peers says how they are read and answered. */
abstract class Driver {
    /** A lock that is held. */
    interface Held {
        void unlock() throws Exception;

        /** What this client alone can do with it. */
        default String command(String[] words) throws Exception {
            throw new IllegalArgumentException("no command " + words[1]);
        }
    }

    /** Which lock, and whether to wait for it. */
    record Request(String slot, boolean waits, String kind, String address, String name, long ttl) {}

    /** Acquires a lock on the slot's own thread; null if it is busy. */
    abstract Held take(Request request) throws Exception;

    /** The slots that hold something: each has at most one lock. */
    final Map<String, Held> held = new ConcurrentHashMap<>();

    private final Map<String, ExecutorService> threads = new ConcurrentHashMap<>();

    final void run() throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.trim().split(" ");
            threads.computeIfAbsent(words[0], slot -> Executors.newSingleThreadExecutor()).execute(() -> serve(words));
        }
        // Whoever still holds something is gone at once, as after a kill.
        Runtime.getRuntime().halt(0);
    }

    private void serve(String[] words) {
        try {
            say(words[0], act(words));
        } catch (Throwable error) {
            say(words[0], "error " + String.valueOf(error).replace('\n', ' '));
        }
    }

    private String act(String[] words) throws Exception {
        String slot = words[0];
        switch (words[1]) {
            case "lock":
            case "try": // KIND ADDRESS NAME TTL
                say(slot, "waiting");
                boolean waits = words[1].equals("lock");
                Held lock = take(new Request(slot, waits, words[2], words[3], words[4], Long.parseLong(words[5])));
                if (lock == null) {
                    return "busy";
                }
                held.put(slot, lock);
                return "holding";
            case "unlock":
                held.remove(slot).unlock();
                return "released";
            default:
                return held.get(slot).command(words);
        }
    }

    static synchronized void say(String slot, String answer) {
        System.out.println(slot + " " + answer);
    }

    /** For clients that only try: they try again after a moment. */
    static Held tried(Request request, Attempt attempt) throws Exception {
        Held held = attempt.take();
        while (held == null && request.waits()) {
            Thread.sleep(10);
            held = attempt.take();
        }
        return held;
    }

    /** One attempt: null if the lock is busy. */
    interface Attempt {
        Held take() throws Exception;
    }
}
