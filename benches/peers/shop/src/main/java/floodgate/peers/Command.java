package floodgate.peers;

/**
 * One record of the input, decoded. Reused from record to record.
 *
 * <p>Only what the bench's log holds: listed SKUs, received stock, orders that settle on placement.
 */
public final class Command {
    public enum Kind {
        PLACED,
        RECEIVED,
        LISTED,
        OTHER
    }

    public static final int LINES_MAX = 100;

    public Kind kind;
    public long merchant;
    /** Order id, or receipt id. */
    public String id;
    public long buyer;
    /** When it was placed or received, in milliseconds since 1970. */
    public long at;
    public long discount;
    public String channel;
    public String region;
    public String area;
    public String category;
    public long sku;
    public long qty;
    public int lines;
    public final long[] skus = new long[LINES_MAX];
    public final long[] quantities = new long[LINES_MAX];
    public final long[] prices = new long[LINES_MAX];

    void clear() {
        kind = Kind.OTHER;
        merchant = buyer = at = discount = sku = qty = 0;
        id = null;
        channel = "other";
        region = "000000";
        area = "urban";
        category = "none";
        lines = 0;
    }

    public long gross() {
        long gross = 0;
        for (int line = 0; line < lines; line++) {
            gross += quantities[line] * prices[line];
        }
        return gross;
    }
}
