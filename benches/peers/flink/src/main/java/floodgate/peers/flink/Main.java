package floodgate.peers.flink;

import floodgate.peers.Settings;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The job on Flink with an exactly-once Kafka sink, all in this one process.
 *
 * <p>Arguments: brokers= input= prefix= (of outputs, group and transactions) threads= commit_ms= (between
 * checkpoints) state= (a directory). Runs until it is ended.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Settings settings = new Settings(arguments);
        var environment =
                StreamExecutionEnvironment.getExecutionEnvironment(configuration(settings));
        environment.setParallelism((int) settings.number("threads"));
        environment
                .fromSource(source(settings), WatermarkStrategy.noWatermarks(), "orders")
                .keyBy(order -> order.f0, Types.LONG)
                .process(new Settle(), TypeInformation.of(Output.class))
                .sinkTo(sink(settings));
        environment.execute("settle");
    }

    private static Configuration configuration(Settings settings) {
        Configuration configuration = new Configuration();
        configuration.setString("execution.checkpointing.interval", settings.text("commit_ms") + "ms");
        configuration.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        configuration.setString("execution.checkpointing.storage", "filesystem");
        configuration.setString(
                "execution.checkpointing.dir", "file://" + settings.text("state"));
        configuration.setString("state.backend.type", "hashmap");
        configuration.setString("pipeline.object-reuse", "true");
        configuration.setString("restart-strategy.type", "none");
        configuration.setString("taskmanager.numberOfTaskSlots", settings.text("threads"));
        configuration.setString("taskmanager.memory.network.min", "128mb");
        configuration.setString("taskmanager.memory.network.max", "128mb");
        for (String where : new String[] {"rest.", "jobmanager.", "taskmanager."}) {
            configuration.setString(where + "bind-address", "127.0.0.1");
            configuration.setString(where + "bind-host", "127.0.0.1");
        }
        return configuration;
    }

    private static KafkaSource<Tuple4<Long, Long, Long, byte[]>> source(Settings settings) {
        return KafkaSource.<Tuple4<Long, Long, Long, byte[]>>builder()
                .setBootstrapServers(settings.text("brokers"))
                .setTopics(settings.text("input"))
                .setGroupId(settings.text("prefix") + "flink")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Input())
                .setProperty("max.poll.records", "5000")
                .setProperty("max.partition.fetch.bytes", Integer.toString(4 << 20))
                .setProperty("receive.buffer.bytes", "-1")
                .setProperty("isolation.level", "read_committed")
                .build();
    }

    private static KafkaSink<Output> sink(Settings settings) {
        Properties properties = new Properties();
        properties.setProperty("compression.type", "lz4");
        properties.setProperty("linger.ms", "25");
        properties.setProperty("batch.size", Integer.toString(512 << 10));
        properties.setProperty("buffer.memory", Long.toString(128L << 20));
        properties.setProperty("send.buffer.bytes", "-1");
        properties.setProperty("transaction.timeout.ms", "600000");
        // The default of 100 is paid whenever a transaction follows another at once.
        properties.setProperty("retry.backoff.ms", "2");
        String prefix = settings.text("prefix");
        KafkaRecordSerializationSchema<Output> serializer =
                (output, context, timestamp) ->
                        new ProducerRecord<>(
                                prefix.concat(output.topic),
                                null,
                                output.timestamp,
                                output.key,
                                output.value);
        return KafkaSink.<Output>builder()
                .setBootstrapServers(settings.text("brokers"))
                .setKafkaProducerConfig(properties)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(prefix + "flink")
                .setRecordSerializer(serializer)
                .build();
    }
}
