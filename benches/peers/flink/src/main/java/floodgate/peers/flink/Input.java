package floodgate.peers.flink;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * Merchant, offset, timestamp and the value as it came: what has to cross from source to merchant is
 * cheapest before it is decoded.
 */
final class Input implements KafkaRecordDeserializationSchema<Tuple4<Long, Long, Long, byte[]>> {
    private static final long serialVersionUID = 1;

    @Override
    public void deserialize(
            ConsumerRecord<byte[], byte[]> record, Collector<Tuple4<Long, Long, Long, byte[]>> out)
            throws IOException {
        long merchant = 0;
        for (byte digit : record.key()) {
            if (digit < '0' || digit > '9') {
                throw new IOException("no merchant: " + Arrays.toString(record.key()));
            }
            merchant = merchant * 10 + digit - '0';
        }
        out.collect(Tuple4.of(merchant, record.offset(), record.timestamp(), record.value()));
    }

    @Override
    public TypeInformation<Tuple4<Long, Long, Long, byte[]>> getProducedType() {
        return Types.TUPLE(
                Types.LONG, Types.LONG, Types.LONG, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
    }
}
