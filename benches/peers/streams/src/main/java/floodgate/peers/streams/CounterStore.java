package floodgate.peers.streams;

import floodgate.peers.Counter;
import floodgate.peers.CounterId;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.internals.CacheFlushListener;
import org.apache.kafka.streams.state.internals.CachedStateStore;

/**
 * Counters as objects, written to their changelog once a commit.
 *
 * <p>What Streams' own record cache does, without (de)serialising a counter for every order. The
 * cache's interface is internal, but is the only thing that is called before a commit.
 */
final class CounterStore implements StateStore, CachedStateStore<Bytes, byte[]> {
    static final String NAME = "counters";

    private final KeyValueStore<Bytes, byte[]> inner;
    private final Map<CounterId, Counter> counters = new HashMap<>();
    private final Set<CounterId> uncommitted = new HashSet<>();

    private CounterStore(KeyValueStore<Bytes, byte[]> inner) {
        this.inner = inner;
    }

    static StoreBuilder<CounterStore> builder() {
        var inner =
                Stores.keyValueStoreBuilder(
                                HashStore.supplier(NAME), Serdes.Bytes(), Serdes.ByteArray())
                        .withCachingDisabled();
        return new StoreBuilder<>() {
            @Override
            public StoreBuilder<CounterStore> withCachingEnabled() {
                return this;
            }

            @Override
            public StoreBuilder<CounterStore> withCachingDisabled() {
                return this;
            }

            @Override
            public StoreBuilder<CounterStore> withLoggingEnabled(Map<String, String> config) {
                inner.withLoggingEnabled(config);
                return this;
            }

            @Override
            public StoreBuilder<CounterStore> withLoggingDisabled() {
                inner.withLoggingDisabled();
                return this;
            }

            @Override
            public CounterStore build() {
                return new CounterStore(inner.build());
            }

            @Override
            public Map<String, String> logConfig() {
                return inner.logConfig();
            }

            @Override
            public boolean loggingEnabled() {
                return inner.loggingEnabled();
            }

            @Override
            public String name() {
                return NAME;
            }
        };
    }

    /** The counter, to be changed. */
    Counter change(CounterId id) {
        uncommitted.add(id);
        return get(id);
    }

    Counter get(CounterId id) {
        Counter counter = counters.get(id);
        if (counter == null) {
            byte[] stored = inner.get(Bytes.wrap(id.toBytes()));
            counter = stored == null ? new Counter() : Counter.ofBytes(stored);
            counters.put(id, counter);
        }
        return counter;
    }

    /** Every counter that was restored. */
    void each(java.util.function.Consumer<CounterId> on) {
        try (var all = inner.all()) {
            all.forEachRemaining(entry -> on.accept(CounterId.ofBytes(entry.key.get())));
        }
    }

    @Override
    public void flushCache() {
        for (CounterId id : uncommitted) {
            inner.put(Bytes.wrap(id.toBytes()), counters.get(id).toBytes());
        }
        uncommitted.clear();
    }

    @Override
    public void clearCache() {
        counters.clear();
        uncommitted.clear();
    }

    @Override
    public boolean setFlushListener(CacheFlushListener<Bytes, byte[]> listener, boolean withOld) {
        return false;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public void init(StateStoreContext context, StateStore root) {
        inner.init(context, root);
    }

    @Override
    public void flush() {
        flushCache();
        inner.flush();
    }

    @Override
    public void close() {
        inner.close();
    }

    @Override
    public boolean persistent() {
        return false;
    }

    @Override
    public boolean isOpen() {
        return inner.isOpen();
    }
}
