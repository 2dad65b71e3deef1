import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.support.CloseableClient;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** jetcd's lock service, which the server carries out, on a lease that jetcd keeps alive. */
final class Jetcd extends Driver {
    private final Map<String, Client> clients = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        new Jetcd().run();
    }

    @Override
    Held take(Request request) throws Exception {
        Client client = clients.computeIfAbsent(request.address(), address -> Client.builder().endpoints(address.split(",")).build());
        long lease = client.getLeaseClient().grant(request.ttl() / 1000).get(60, TimeUnit.SECONDS).getID();
        CloseableClient keepAlive = client.getLeaseClient().keepAlive(lease, new Watched(request.slot()));
        try {
            var asked = client.getLockClient().lock(bytes(request.name()), lease);
            // It has no way to try.
            var taken = request.waits() ? asked.get() : asked.get(1, TimeUnit.SECONDS);
            return () -> {
                try {
                    client.getLockClient().unlock(taken.getKey()).get(60, TimeUnit.SECONDS);
                } finally {
                    end(client, lease, keepAlive);
                }
            };
        } catch (TimeoutException busy) {
            end(client, lease, keepAlive);
            return null;
        } catch (Exception failed) {
            end(client, lease, keepAlive);
            throw failed;
        }
    }

    /** Nobody waits for the answer: if it gets lost, the lease ends by itself. */
    private static void end(Client client, long lease, CloseableClient keepAlive) {
        keepAlive.close();
        client.getLeaseClient().revoke(lease);
    }

    private static ByteSequence bytes(String text) {
        return ByteSequence.from(text, StandardCharsets.UTF_8);
    }

    private record Watched(String slot) implements StreamObserver<LeaseKeepAliveResponse> {
        @Override
        public void onNext(LeaseKeepAliveResponse response) {}

        @Override
        public void onError(Throwable error) {
            say(slot, "lost");
        }

        @Override
        public void onCompleted() {}
    }
}
