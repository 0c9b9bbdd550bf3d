package floodgate.peers;

import java.io.Serializable;
import java.nio.ByteBuffer;

/**
 * What one counter of the contract's section 6 counts. With orders that settle on placement, placed
 * and settled are the same.
 */
public final class Counter implements Serializable {
    private static final long serialVersionUID = 1;

    public long orders;
    public long units;
    public long amount;
    public long rejected;
    public long duplicates;

    void settled(long units, long amount) {
        this.orders++;
        this.units += units;
        this.amount += amount;
    }

    public byte[] toBytes() {
        ByteBuffer bytes = ByteBuffer.allocate(40);
        bytes.putLong(orders).putLong(units).putLong(amount).putLong(rejected).putLong(duplicates);
        return bytes.array();
    }

    public static Counter ofBytes(byte[] from) {
        ByteBuffer bytes = ByteBuffer.wrap(from);
        Counter counter = new Counter();
        counter.orders = bytes.getLong();
        counter.units = bytes.getLong();
        counter.amount = bytes.getLong();
        counter.rejected = bytes.getLong();
        counter.duplicates = bytes.getLong();
        return counter;
    }
}
