package floodgate.peers.streams;

import floodgate.peers.Settings;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.common.utils.Bytes;

/**
 * The job on Kafka Streams with exactly_once_v2.
 *
 * <p>Arguments: brokers= input= prefix= (of the outputs and the application) threads= commit_ms=
 * state= (a directory). Runs until it is ended.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        Settings settings = new Settings(arguments);
        KafkaStreams streams = new KafkaStreams(topology(settings), properties(settings));
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1);
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology(Settings settings) {
        String prefix = settings.text("prefix");
        Topology topology = new Topology();
        var read = new ByteArrayDeserializer();
        var write = new ByteArraySerializer();
        topology.addSource("orders", read, read, settings.text("input"));
        topology.addProcessor("settle", SettleProcessor::new, "orders");
        topology.addStateStore(store(SettleProcessor.IDS), "settle");
        topology.addStateStore(store(SettleProcessor.STOCK), "settle");
        topology.addStateStore(store(SettleProcessor.CATALOGUE), "settle");
        topology.addStateStore(CounterStore.builder(), "settle");
        topology.addSink(
                SettleProcessor.SETTLED_SINK, prefix + "orders.settled", write, write, "settle");
        topology.addSink(
                SettleProcessor.STATUS_SINK, prefix + "orders.status", write, write, "settle");
        StreamPartitioner<byte[], byte[]> own =
                (topic, key, value, count) -> Optional.of(Set.of(partitionIn(key)));
        topology.addSink(SettleProcessor.GMV_SINK, prefix + "gmv", write, write, own, "settle");
        return topology;
    }

    /** A counter's key begins with its partition. */
    private static int partitionIn(byte[] key) {
        int partition = 0;
        for (int at = 0; key[at] != '/'; at++) {
            partition = partition * 10 + key[at] - '0';
        }
        return partition;
    }

    private static StoreBuilder<KeyValueStore<Bytes, byte[]>> store(String name) {
        return Stores.keyValueStoreBuilder(
                        HashStore.supplier(name), Serdes.Bytes(), Serdes.ByteArray())
                .withLoggingEnabled(Map.of())
                .withCachingDisabled();
    }

    private static Properties properties(Settings settings) {
        Properties properties = new Properties();
        properties.putAll(
                Map.of(
                        StreamsConfig.APPLICATION_ID_CONFIG, settings.text("prefix") + "streams",
                        StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.text("brokers"),
                        StreamsConfig.STATE_DIR_CONFIG, settings.text("state"),
                        StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
                        StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.number("commit_ms"),
                        StreamsConfig.NUM_STREAM_THREADS_CONFIG, (int) settings.number("threads"),
                        StreamsConfig.REPLICATION_FACTOR_CONFIG, 1,
                        StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000,
                        StreamsConfig.POLL_MS_CONFIG, 5,
                        CommonClientConfigs.ENABLE_METRICS_PUSH_CONFIG, false));
        consumer(properties);
        producer(properties);
        return properties;
    }

    private static void consumer(Properties properties) {
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        properties.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 5_000);
        properties.put(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 4 << 20);
        properties.put(ConsumerConfig.RECEIVE_BUFFER_CONFIG, -1);
    }

    private static void producer(Properties properties) {
        properties.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
        properties.put(ProducerConfig.LINGER_MS_CONFIG, 25);
        properties.put(ProducerConfig.BATCH_SIZE_CONFIG, 512 << 10);
        properties.put(ProducerConfig.BUFFER_MEMORY_CONFIG, 128L << 20);
        properties.put(ProducerConfig.SEND_BUFFER_CONFIG, -1);
        // The default of 100 is paid whenever a transaction follows another at once.
        properties.put(ProducerConfig.RETRY_BACKOFF_MS_CONFIG, 2);
    }
}
