import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.util.Map;
import java.util.TimeZone;
import java.util.concurrent.ConcurrentHashMap;
import javax.sql.DataSource;
import net.javacrumbs.shedlock.core.LockProvider;
import net.javacrumbs.shedlock.provider.jdbc.JdbcLockProvider;
import net.javacrumbs.shedlock.provider.jdbctemplate.JdbcTemplateLockProvider;
import net.javacrumbs.shedlock.provider.jdbctemplate.JdbcTemplateLockProvider.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;

/** ShedLock on a table: an address is HOST:PORT/DATABASE/TABLE of PostgreSQL's, and with {@code mariadb://} before it of MariaDB's. */
final class ShedLock extends Driver {
    private final Map<String, DataSource> sources = new ConcurrentHashMap<>();

    private final Map<String, LockProvider> providers = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        new ShedLock().run();
    }

    @Override
    Held take(Request request) throws Exception {
        String key = request.kind() + " " + request.address();
        return ShedLockHeld.take(providers.computeIfAbsent(key, unused -> provider(request)), request);
    }

    private LockProvider provider(Request request) {
        int table = request.address().lastIndexOf('/');
        DataSource source = sources.computeIfAbsent(request.address().substring(0, table), ShedLock::connect);
        String name = request.address().substring(table + 1);
        Configuration.Builder builder = Configuration.builder().withJdbcTemplate(new JdbcTemplate(source)).withTableName(name);
        return switch (request.kind()) {
            case "database-time" -> new JdbcTemplateLockProvider(builder.usingDbTime().build());
            // The time of a JVM in this zone.
            case "tokyo" -> new JdbcTemplateLockProvider(builder.withTimeZone(TimeZone.getTimeZone("Asia/Tokyo")).build());
            // The time of this JVM, whatever its zone is: it has no other way.
            case "plain" -> new JdbcLockProvider(source, name);
            default -> throw new IllegalArgumentException(request.kind());
        };
    }

    private static DataSource connect(String address) {
        HikariConfig config = new HikariConfig();
        boolean isMariaDb = address.startsWith("mariadb://");
        config.setJdbcUrl(isMariaDb ? "jdbc:" + address : "jdbc:postgresql://" + address);
        config.setUsername("app");
        config.setMaximumPoolSize(8);
        config.setMinimumIdle(1);
        config.setConnectionTimeout(5_000);
        config.addDataSourceProperty("socketTimeout", isMariaDb ? "10000" : "10");
        return new HikariDataSource(config);
    }
}
