package floodgate.peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** JSON into a {@link Command}, token by token: no tree, no reflection. */
public final class Decoder {
    private final JsonFactory factory = new JsonFactory();

    public void decode(byte[] value, Command into) throws IOException {
        into.clear();
        try (JsonParser json = factory.createParser(value)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("not an object");
            }
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                field(json, name, into);
            }
        }
    }

    private static void field(JsonParser json, String name, Command into) throws IOException {
        json.nextToken();
        switch (name) {
            case "type" -> into.kind = kind(json.getText());
            case "merchant_id" -> into.merchant = json.getValueAsLong();
            case "order_id", "receipt_id" -> into.id = json.getText();
            case "buyer_id" -> into.buyer = json.getValueAsLong();
            case "placed_at", "received_at" -> into.at = json.getLongValue();
            case "discount" -> into.discount = json.getLongValue();
            case "channel" -> into.channel = json.getText();
            case "region" -> into.region = json.getText();
            case "area" -> into.area = json.getText();
            case "category" -> into.category = json.getText();
            case "sku" -> into.sku = json.getValueAsLong();
            case "qty" -> into.qty = json.getLongValue();
            case "lines" -> lines(json, into);
            default -> json.skipChildren();
        }
    }

    private static Command.Kind kind(String type) {
        return switch (type) {
            case "order.placed" -> Command.Kind.PLACED;
            case "stock.received" -> Command.Kind.RECEIVED;
            case "sku.listed" -> Command.Kind.LISTED;
            default -> Command.Kind.OTHER;
        };
    }

    private static void lines(JsonParser json, Command into) throws IOException {
        while (json.nextToken() == JsonToken.START_OBJECT) {
            if (into.lines == Command.LINES_MAX) {
                throw new IOException("too many lines");
            }
            int line = into.lines++;
            for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
                json.nextToken();
                switch (name) {
                    case "sku" -> into.skus[line] = json.getValueAsLong();
                    case "qty" -> into.quantities[line] = json.getLongValue();
                    case "unit_price" -> into.prices[line] = json.getLongValue();
                    default -> json.skipChildren();
                }
            }
        }
    }
}
