package floodgate.peers;

import java.io.Serializable;
import java.time.LocalDate;

/** Which counter: business day (days since 1970), dimension, value. */
public record CounterId(int day, String dimension, String value) implements Serializable {
    private static final long DAY_OFFSET_MS = 28_800_000;

    public static int dayOf(long ms) {
        return (int) ((ms + DAY_OFFSET_MS) / 86_400_000);
    }

    public String dayText() {
        return LocalDate.ofEpochDay(day).toString();
    }

    /** Whether ten seconds, not one, may pass until a change is written. */
    public boolean isSlow() {
        return dimension.equals("merchant") || dimension.equals("location");
    }

    public byte[] toBytes() {
        return Text.ascii(day + "/" + dimension + "/" + value);
    }

    public static CounterId ofBytes(byte[] bytes) {
        String[] parts = new String(bytes, java.nio.charset.StandardCharsets.ISO_8859_1).split("/", 3);
        return new CounterId(Integer.parseInt(parts[0]), parts[1], parts[2]);
    }
}
