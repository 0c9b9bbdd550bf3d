package floodgate.peers;

/** Output records as the contract words them. */
public final class Encoder {
    private static final byte[] SETTLED = Text.ascii("{\"type\":\"order.settled\",\"offset\":");
    private static final byte[] REJECTED = Text.ascii("{\"type\":\"hold.rejected\",\"offset\":");
    private static final byte[] ORDER = Text.ascii(",\"order_id\":\"");
    private static final byte[] MERCHANT = Text.ascii("\",\"merchant_id\":");
    private static final byte[] BUYER = Text.ascii(",\"buyer_id\":");
    private static final byte[] AMOUNT = Text.ascii(",\"amount\":");
    private static final byte[] DISCOUNT = Text.ascii(",\"discount\":");
    private static final byte[] LINES = Text.ascii(",\"lines\":[");
    private static final byte[] SKU = Text.ascii("{\"sku\":");
    private static final byte[] QTY = Text.ascii(",\"qty\":");
    private static final byte[] PRICE = Text.ascii(",\"unit_price\":");
    private static final byte[] LOCATION = Text.ascii(",\"location\":0}");
    private static final byte[] CHANNEL = Text.ascii("],\"channel\":\"");
    private static final byte[] REGION = Text.ascii("\",\"region\":\"");
    private static final byte[] AREA = Text.ascii("\",\"area\":\"");
    private static final byte[] PLACED_AT = Text.ascii("\",\"placed_at\":");
    private static final byte[] AT = Text.ascii(",\"at\":");
    private static final byte[] REASON = Text.ascii(",\"reason\":\"");
    private static final byte[] OF_SKU = Text.ascii(",\"sku\":");

    private final Text text = new Text();

    public byte[] settled(Command order, long offset, long now) {
        text.clear();
        text.put(SETTLED).put(offset).put(ORDER).put(order.id).put(MERCHANT).put(order.merchant);
        text.put(BUYER).put(order.buyer).put(AMOUNT).put(order.gross() - order.discount);
        text.put(DISCOUNT).put(order.discount).put(LINES);
        for (int line = 0; line < order.lines; line++) {
            if (line > 0) {
                text.put(',');
            }
            text.put(SKU).put(order.skus[line]).put(QTY).put(order.quantities[line]);
            text.put(PRICE).put(order.prices[line]).put(LOCATION);
        }
        text.put(CHANNEL).put(order.channel).put(REGION).put(order.region).put(AREA).put(order.area);
        return text.put(PLACED_AT).put(order.at).put(AT).put(now).put('}').copy();
    }

    public byte[] rejected(Command order, long offset, String reason, long sku, long now) {
        text.clear();
        text.put(REJECTED).put(offset).put(ORDER).put(order.id).put(MERCHANT).put(order.merchant);
        text.put(BUYER).put(order.buyer).put(REASON).put(reason).put('"');
        if (sku >= 0) {
            text.put(OF_SKU).put(sku);
        }
        return text.put(AT).put(now).put('}').copy();
    }

    public byte[] counterKey(int partition, CounterId id) {
        text.clear();
        text.put(partition).put('/').put(id.dayText()).put('/').put(id.dimension());
        return text.put('/').put(id.value()).copy();
    }

    public byte[] counter(int partition, CounterId id, Counter counter, long offset, long now) {
        text.clear();
        text.put("{\"partition\":").put(partition).put(",\"day\":\"").put(id.dayText());
        text.put("\",\"dimension\":\"").put(id.dimension()).put("\",\"value\":\"").put(id.value());
        text.put("\",\"orders_placed\":").put(counter.orders).put(",\"placed\":").put(counter.amount);
        text.put(",\"orders_settled\":").put(counter.orders).put(",\"units_settled\":");
        text.put(counter.units).put(",\"settled\":").put(counter.amount);
        text.put(",\"orders_refunded\":0,\"refunded\":0");
        if (id.dimension().equals("all")) {
            text.put(",\"orders_rejected\":").put(counter.rejected).put(",\"orders_released\":0");
            text.put(",\"dead_letters\":0,\"duplicates\":").put(counter.duplicates);
        }
        return text.put(",\"offset\":").put(offset).put(AT).put(now).put('}').copy();
    }
}
