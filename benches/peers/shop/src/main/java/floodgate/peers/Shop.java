package floodgate.peers;

/**
 * What is done with a command, the same for both peers; where the state lives is theirs.
 *
 * <p>The contract's rules as far as orders that settle on placement meet them: once by order id, the
 * window, listed SKUs, a location that can serve every line, hold and settle, counters. Not there:
 * holds that stay open, payments, cancellations, refunds, expiry, pickup and further locations, buyer
 * limits, safety stock, dead letters.
 */
public abstract class Shop {
    private static final long WINDOW_MS = 900_000;
    private static final long SKEW_MS = 60_000;

    private final Encoder encoder = new Encoder();
    private final long[] demands = new long[Command.LINES_MAX];
    private long now;

    /** Whether the id was not there; it is afterwards. */
    protected abstract boolean remember(long merchant, String id, long at) throws Exception;

    protected abstract String category(long merchant, long sku) throws Exception;

    protected abstract void list(long merchant, long sku, String category) throws Exception;

    protected abstract long onHand(long merchant, long sku) throws Exception;

    protected abstract void setOnHand(long merchant, long sku, long units) throws Exception;

    /** The counter, to be changed; it is written soon. */
    protected abstract Counter counter(int day, String dimension, String value) throws Exception;

    protected abstract void settled(byte[] value) throws Exception;

    protected abstract void status(byte[] value) throws Exception;

    /** The largest timestamp so far. */
    public final long now() {
        return now;
    }

    public final Encoder encoder() {
        return encoder;
    }

    public final void apply(Command command, long offset, long timestamp) throws Exception {
        now = Math.max(now, timestamp);
        switch (command.kind) {
            case PLACED -> place(command, offset);
            case RECEIVED -> receive(command);
            case LISTED -> list(command.merchant, command.sku, command.category);
            case OTHER -> throw new IllegalArgumentException("not in the bench's log");
        }
    }

    private void receive(Command command) throws Exception {
        // Receipts and orders have id spaces of their own; '/' is in no id.
        if (remember(command.merchant, "/" + command.id, command.at)) {
            long onHand = onHand(command.merchant, command.sku);
            setOnHand(command.merchant, command.sku, onHand + command.qty);
        }
    }

    private void place(Command order, long offset) throws Exception {
        int day = CounterId.dayOf(now);
        boolean isTimely = order.at >= now - WINDOW_MS && order.at <= now + SKEW_MS;
        if (isTimely && !remember(order.merchant, order.id, order.at)) {
            counter(day, "all", "all").duplicates++;
            return;
        }
        String reason = isTimely ? null : order.at < now ? "stale" : "clock_skew";
        long culprit = -1;
        for (int line = 0; line < order.lines && reason == null; line++) {
            if (category(order.merchant, order.skus[line]) == null) {
                reason = "unknown_sku";
                culprit = order.skus[line];
            }
        }
        for (int line = 0; line < order.lines && reason == null; line++) {
            demands[line] = 0;
            for (int other = 0; other < order.lines; other++) {
                if (order.skus[other] == order.skus[line]) {
                    demands[line] += order.quantities[other];
                }
            }
            if (onHand(order.merchant, order.skus[line]) < demands[line]) {
                reason = "out_of_stock";
                culprit = order.skus[line];
            }
        }
        if (reason != null) {
            counter(day, "all", "all").rejected++;
            status(encoder.rejected(order, offset, reason, culprit, now));
            return;
        }
        settle(order, offset, day);
    }

    /** Holds every line and settles it at once. */
    private void settle(Command order, long offset, int day) throws Exception {
        for (int line = 0; line < order.lines; line++) {
            long onHand = onHand(order.merchant, order.skus[line]);
            setOnHand(order.merchant, order.skus[line], onHand - order.quantities[line]);
        }
        count(order, day);
        settled(encoder.settled(order, offset, now));
    }

    private void count(Command order, int day) throws Exception {
        long gross = order.gross();
        long amount = gross - order.discount;
        long units = 0;
        for (int line = 0; line < order.lines; line++) {
            units += order.quantities[line];
        }
        counter(day, "all", "all").settled(units, amount);
        counter(day, "channel", order.channel).settled(units, amount);
        counter(day, "area", order.area).settled(units, amount);
        counter(day, "fulfilment", "ship").settled(units, amount);
        counter(day, "province", order.region.substring(0, 2)).settled(units, amount);
        String merchant = Long.toString(order.merchant);
        counter(day, "merchant", merchant).settled(units, amount);
        counter(day, "location", merchant.concat(":0")).settled(units, amount);
        counter(day, "minute", Long.toString(now / 60_000)).settled(units, amount);
        categories(order, day, gross);
    }

    /** Each line's amount is its gross less its share of the discount. */
    private void categories(Command order, int day, long gross) throws Exception {
        long before = 0;
        long sharedBefore = 0;
        for (int line = 0; line < order.lines; line++) {
            long upTo = before + order.quantities[line] * order.prices[line];
            long shared = gross == 0 ? 0 : Math.multiplyExact(order.discount, upTo) / gross;
            String category = category(order.merchant, order.skus[line]);
            Counter counter = counter(day, "category", category);
            counter.units += order.quantities[line];
            counter.amount += upTo - before - (shared - sharedBefore);
            boolean isFirst = true;
            for (int other = 0; other < line; other++) {
                isFirst &= !category.equals(category(order.merchant, order.skus[other]));
            }
            counter.orders += isFirst ? 1 : 0;
            before = upTo;
            sharedBefore = shared;
        }
    }
}
