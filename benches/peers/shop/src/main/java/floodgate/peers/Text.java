package floodgate.peers;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes of JSON being written; the buffer is used again for the next output. */
final class Text {
    private byte[] bytes = new byte[1024];
    private int length;

    void clear() {
        length = 0;
    }

    byte[] copy() {
        return Arrays.copyOf(bytes, length);
    }

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    Text put(byte[] text) {
        room(text.length);
        System.arraycopy(text, 0, bytes, length, text.length);
        length += text.length;
        return this;
    }

    /** Ids, channels and the like are ASCII. */
    @SuppressWarnings("deprecation")
    Text put(String text) {
        room(text.length());
        text.getBytes(0, text.length(), bytes, length);
        length += text.length();
        return this;
    }

    Text put(char character) {
        room(1);
        bytes[length++] = (byte) character;
        return this;
    }

    Text put(long number) {
        room(20);
        if (number < 0) {
            bytes[length++] = '-';
            number = -number;
        }
        int end = length + digits(number);
        length = end;
        do {
            bytes[--end] = (byte) ('0' + number % 10);
            number /= 10;
        } while (number > 0);
        return this;
    }

    private static int digits(long number) {
        int digits = 1;
        for (long rest = number / 10; rest > 0; rest /= 10) {
            digits++;
        }
        return digits;
    }

    private void room(int more) {
        if (length + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, length + more));
        }
    }
}
