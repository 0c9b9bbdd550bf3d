package floodgate.peers.streams;

import floodgate.peers.Command;
import floodgate.peers.Counter;
import floodgate.peers.CounterId;
import floodgate.peers.Decoder;
import floodgate.peers.Shop;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Set;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** The job on the Processor API: one task for each input partition, as in Floodgate. */
final class SettleProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    static final String IDS = "ids";
    static final String STOCK = "stock";
    static final String CATALOGUE = "catalogue";
    static final String SETTLED_SINK = "settled";
    static final String STATUS_SINK = "status";
    static final String GMV_SINK = "gmv";

    private static final long REMEMBERED_MS = 900_000;
    private static final Duration FAST = Duration.ofSeconds(1);
    private static final Duration SLOW = Duration.ofSeconds(10);

    private final Decoder decoder = new Decoder();
    private final Command command = new Command();
    private final Set<CounterId> fast = new HashSet<>();
    private final Set<CounterId> slow = new HashSet<>();
    private ArrayDeque<KeyValue<Bytes, Long>> remembered;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> ids;
    private KeyValueStore<Bytes, byte[]> stock;
    private KeyValueStore<Bytes, byte[]> catalogue;
    private CounterStore counters;
    private Record<byte[], byte[]> input;
    private long offset;
    private final Rules rules = new Rules();

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        ids = context.getStateStore(IDS);
        stock = context.getStateStore(STOCK);
        catalogue = context.getStateStore(CATALOGUE);
        counters = context.getStateStore(CounterStore.NAME);
        counters.each(this::changed);
        context.schedule(FAST, PunctuationType.WALL_CLOCK_TIME, now -> write(fast));
        context.schedule(SLOW, PunctuationType.WALL_CLOCK_TIME, now -> write(slow));
        context.schedule(FAST, PunctuationType.STREAM_TIME, this::forget);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        input = record;
        context.recordMetadata().ifPresent(metadata -> offset = metadata.offset());
        try {
            decoder.decode(record.value(), command);
            rules.apply(command, offset, record.timestamp());
        } catch (Exception error) {
            throw new IllegalStateException("offset " + offset, error);
        }
    }

    private void changed(CounterId id) {
        (id.isSlow() ? slow : fast).add(id);
    }

    private void write(Set<CounterId> changed) {
        int partition = context.taskId().partition();
        for (CounterId id : changed) {
            Counter counter = counters.get(id);
            byte[] key = rules.encoder().counterKey(partition, id);
            byte[] value = rules.encoder().counter(partition, id, counter, offset, rules.now());
            context.forward(new Record<>(key, value, rules.now()), GMV_SINK);
        }
        changed.clear();
    }

    /** Ids older than the window; after a restart their order is found again from the store. */
    private void forget(long now) {
        while (!order().isEmpty() && order().peekFirst().value < now - REMEMBERED_MS) {
            ids.delete(order().removeFirst().key);
        }
    }

    private ArrayDeque<KeyValue<Bytes, Long>> order() {
        if (remembered == null) {
            var restored = new ArrayList<KeyValue<Bytes, Long>>();
            try (var all = ids.all()) {
                all.forEachRemaining(
                        entry -> restored.add(KeyValue.pair(entry.key, number(entry.value))));
            }
            restored.sort(Comparator.comparing(entry -> entry.value));
            remembered = new ArrayDeque<>(restored);
        }
        return remembered;
    }

    private static byte[] bytes(long number) {
        return ByteBuffer.allocate(8).putLong(number).array();
    }

    private static long number(byte[] bytes) {
        return ByteBuffer.wrap(bytes).getLong();
    }

    /** The rules on this task's stores. */
    private final class Rules extends Shop {
        @Override
        @SuppressWarnings("deprecation")
        protected boolean remember(long merchant, String id, long at) {
            byte[] key = new byte[8 + id.length()];
            ByteBuffer.wrap(key).putLong(merchant);
            id.getBytes(0, id.length(), key, 8);
            Bytes wrapped = Bytes.wrap(key);
            if (ids.get(wrapped) != null) {
                return false;
            }
            order().addLast(KeyValue.pair(wrapped, at));
            ids.put(wrapped, bytes(at));
            return true;
        }

        private static Bytes cell(long merchant, long sku) {
            return Bytes.wrap(ByteBuffer.allocate(16).putLong(merchant).putLong(sku).array());
        }

        @Override
        protected String category(long merchant, long sku) {
            byte[] category = catalogue.get(cell(merchant, sku));
            return category == null ? null : new String(category, StandardCharsets.ISO_8859_1);
        }

        @Override
        protected void list(long merchant, long sku, String category) {
            catalogue.put(cell(merchant, sku), category.getBytes(StandardCharsets.ISO_8859_1));
        }

        @Override
        protected long onHand(long merchant, long sku) {
            byte[] units = stock.get(cell(merchant, sku));
            return units == null ? 0 : number(units);
        }

        @Override
        protected void setOnHand(long merchant, long sku, long units) {
            stock.put(cell(merchant, sku), bytes(units));
        }

        @Override
        protected Counter counter(int day, String dimension, String value) {
            CounterId id = new CounterId(day, dimension, value);
            changed(id);
            return counters.change(id);
        }

        @Override
        protected void settled(byte[] value) {
            context.forward(new Record<>(input.key(), value, now()), SETTLED_SINK);
        }

        @Override
        protected void status(byte[] value) {
            context.forward(new Record<>(input.key(), value, now()), STATUS_SINK);
        }
    }
}
