package floodgate.peers.flink;

import floodgate.peers.Command;
import floodgate.peers.Counter;
import floodgate.peers.CounterId;
import floodgate.peers.Decoder;
import floodgate.peers.Shop;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * The job, keyed by merchant. What is a merchant's is keyed state; the counters over all merchants are
 * the subtask's, which stands where Floodgate's partition stands.
 */
final class Settle extends KeyedProcessFunction<Long, Tuple4<Long, Long, Long, byte[]>, Output>
        implements CheckpointedFunction {
    private static final long serialVersionUID = 1;
    private static final long REMEMBERED_MS = 900_000;
    private static final long FAST_MS = 1_000;
    private static final long SLOW_MS = 10_000;

    private transient MapState<String, Long> ids;
    private transient MapState<Long, Long> stock;
    private transient MapState<Long, String> catalogue;
    /** By twice the day, one more for the location. */
    private transient MapState<Integer, Counter> ofMerchant;

    private transient Map<CounterId, Counter> counters;
    private transient ListState<byte[]> saved;
    private transient Set<CounterId> changed;
    private transient Set<Long> changedMerchants;
    /** When the changed counters are written; 0 if no timer is set for it. */
    private transient long writesAt;

    private transient Decoder decoder;
    private transient Command command;
    private transient Rules rules;
    private transient Collector<Output> out;
    private transient byte[] key;
    private transient long offset;
    private transient boolean touchesMerchant;

    @Override
    public void initializeState(FunctionInitializationContext context) throws Exception {
        counters = new HashMap<>();
        changed = new HashSet<>();
        changedMerchants = new HashSet<>();
        saved =
                context.getOperatorStateStore()
                        .getListState(
                                new ListStateDescriptor<>(
                                        "counters", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        for (byte[] row : saved.get()) {
            ByteBuffer bytes = ByteBuffer.wrap(row);
            byte[] counter = new byte[bytes.getInt()];
            bytes.get(counter);
            byte[] id = new byte[bytes.remaining()];
            bytes.get(id);
            counters.put(CounterId.ofBytes(id), Counter.ofBytes(counter));
            changed.add(CounterId.ofBytes(id));
        }
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) throws Exception {
        saved.clear();
        for (var entry : counters.entrySet()) {
            byte[] id = entry.getKey().toBytes();
            byte[] counter = entry.getValue().toBytes();
            ByteBuffer row = ByteBuffer.allocate(4 + counter.length + id.length);
            saved.add(row.putInt(counter.length).put(counter).put(id).array());
        }
    }

    @Override
    public void open(OpenContext context) {
        var state = getRuntimeContext();
        ids = state.getMapState(new MapStateDescriptor<>("ids", Types.STRING, Types.LONG));
        stock = state.getMapState(new MapStateDescriptor<>("stock", Types.LONG, Types.LONG));
        catalogue =
                state.getMapState(new MapStateDescriptor<>("catalogue", Types.LONG, Types.STRING));
        ofMerchant =
                state.getMapState(
                        new MapStateDescriptor<>(
                                "merchant", Types.INT, TypeInformation.of(Counter.class)));
        decoder = new Decoder();
        command = new Command();
        rules = new Rules();
    }

    @Override
    public void processElement(
            Tuple4<Long, Long, Long, byte[]> input, Context context, Collector<Output> out)
            throws Exception {
        this.out = out;
        key = context.getCurrentKey().toString().getBytes(StandardCharsets.ISO_8859_1);
        offset = input.f1;
        touchesMerchant = false;
        decoder.decode(input.f3, command);
        rules.apply(command, offset, input.f2);
        var timers = context.timerService();
        long now = timers.currentProcessingTime();
        if (writesAt == 0 && !changed.isEmpty()) {
            writesAt = now / FAST_MS * FAST_MS + FAST_MS;
            timers.registerProcessingTimeTimer(writesAt);
        }
        if (touchesMerchant && changedMerchants.add(context.getCurrentKey())) {
            timers.registerProcessingTimeTimer(now / SLOW_MS * SLOW_MS + SLOW_MS);
            long forgetsAt = now / REMEMBERED_MS * REMEMBERED_MS + 2 * REMEMBERED_MS;
            timers.registerProcessingTimeTimer(forgetsAt);
        }
    }

    @Override
    public void onTimer(long at, OnTimerContext context, Collector<Output> out) throws Exception {
        this.out = out;
        if (writesAt != 0 && at >= writesAt) {
            writesAt = 0;
            for (CounterId id : changed) {
                write(id, counters.get(id));
            }
            changed.clear();
        }
        if (at % SLOW_MS == 0 && changedMerchants.remove(context.getCurrentKey())) {
            writeMerchant(context.getCurrentKey().toString());
        }
        if (at % REMEMBERED_MS == 0) {
            forget();
        }
    }

    private void writeMerchant(String merchant) throws Exception {
        for (var entry : ofMerchant.entries()) {
            boolean isLocation = entry.getKey() % 2 == 1;
            CounterId id =
                    new CounterId(
                            entry.getKey() / 2,
                            isLocation ? "location" : "merchant",
                            isLocation ? merchant + ":0" : merchant);
            write(id, entry.getValue());
        }
    }

    private void write(CounterId id, Counter counter) {
        int subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
        byte[] key = rules.encoder().counterKey(subtask, id);
        byte[] value = rules.encoder().counter(subtask, id, counter, offset, rules.now());
        out.collect(new Output("gmv", key, value, rules.now()));
    }

    private void forget() throws Exception {
        var entries = ids.iterator();
        while (entries.hasNext()) {
            if (entries.next().getValue() < rules.now() - REMEMBERED_MS) {
                entries.remove();
            }
        }
    }

    /** The rules on the current merchant's state. */
    private final class Rules extends Shop {
        @Override
        protected boolean remember(long merchant, String id, long at) throws Exception {
            if (ids.contains(id)) {
                return false;
            }
            ids.put(id, at);
            return true;
        }

        @Override
        protected String category(long merchant, long sku) throws Exception {
            return catalogue.get(sku);
        }

        @Override
        protected void list(long merchant, long sku, String category) throws Exception {
            catalogue.put(sku, category);
        }

        @Override
        protected long onHand(long merchant, long sku) throws Exception {
            Long units = stock.get(sku);
            return units == null ? 0 : units;
        }

        @Override
        protected void setOnHand(long merchant, long sku, long units) throws Exception {
            stock.put(sku, units);
        }

        @Override
        protected Counter counter(int day, String dimension, String value) throws Exception {
            CounterId id = new CounterId(day, dimension, value);
            if (!id.isSlow()) {
                changed.add(id);
                return counters.computeIfAbsent(id, key -> new Counter());
            }
            touchesMerchant = true;
            int place = 2 * day + (dimension.equals("location") ? 1 : 0);
            Counter counter = ofMerchant.get(place);
            if (counter == null) {
                counter = new Counter();
                ofMerchant.put(place, counter);
            }
            return counter;
        }

        @Override
        protected void settled(byte[] value) {
            out.collect(new Output("orders.settled", key, value, now()));
        }

        @Override
        protected void status(byte[] value) {
            out.collect(new Output("orders.status", key, value, now()));
        }
    }
}
