package floodgate.peers.flink;

/** A record to be written; it never leaves the thread that made it. */
public final class Output {
    /** Without the prefix. */
    public String topic;
    public byte[] key;
    public byte[] value;
    public long timestamp;

    public Output() {}

    Output(String topic, byte[] key, byte[] value, long timestamp) {
        this.topic = topic;
        this.key = key;
        this.value = value;
        this.timestamp = timestamp;
    }
}
