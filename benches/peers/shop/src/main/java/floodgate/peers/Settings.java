package floodgate.peers;

import java.util.HashMap;
import java.util.Map;

/** Arguments of the form name=value. */
public final class Settings {
    private final Map<String, String> values = new HashMap<>();

    public Settings(String[] arguments) {
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            values.put(parts[0], parts[1]);
        }
    }

    public String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("missing argument " + name + "=");
        }
        return value;
    }

    public long number(String name) {
        return Long.parseLong(text(name));
    }
}
