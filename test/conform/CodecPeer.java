// SPDX-License-Identifier: Apache-2.0
// Random messages by Kafka's own classes, and a second look at ours:
//   CodecPeer generate SEED COUNT   stdin "NAME KIND MIN MAX", stdout "NAME KIND VERSION HEX", COUNT of each version
//   CodecPeer verify                stdin "NAME KIND VERSION HEX": read and written again, the bytes must be the same
// KIND is request, response or data (the key or value of a record). Versions that Kafka does not have are left out.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.ArrayOf;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.CompactArrayOf;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class CodecPeer {
    static final String[] PACKAGES = {"org.apache.kafka.common.message.", "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated."};
    static Random random;
    static int redrawn;

    static Class<?> classOf(String name, String kind) throws ClassNotFoundException {
        String suffix = kind.equals("request") ? "RequestData" : kind.equals("response") ? "ResponseData" : "";
        for (String p : PACKAGES) {
            try {
                return Class.forName(p + name + suffix);
            } catch (ClassNotFoundException e) {
                continue;
            }
        }
        throw new ClassNotFoundException(name + suffix);
    }

    static String text() {
        String alphabet = "abcdefghij-_.09\u00e4\u20ac";
        StringBuilder s = new StringBuilder();
        for (int n = random.nextInt(6); n > 0; n--)
            s.append(alphabet.charAt(random.nextInt(alphabet.length())));
        return s.toString();
    }

    static ByteBuffer bytes() {
        byte[] b = new byte[random.nextInt(8)];
        random.nextBytes(b);
        return ByteBuffer.wrap(b);
    }

    static long number(int bits) {
        long[] usual = {0, 1, -1, 127, 128, -128, 300, Long.MAX_VALUE, Long.MIN_VALUE};
        long n = random.nextInt(3) == 0 ? random.nextLong() : usual[random.nextInt(usual.length)];
        return bits == 64 ? n : n << (64 - bits) >> (64 - bits);
    }

    static Object value(Type t) {
        if (t.isNullable() && random.nextInt(4) == 0)
            return null;
        if (t instanceof Schema schema)
            return struct(schema);
        if (t instanceof TaggedFields tagged) {
            TreeMap<Integer, Object> m = new TreeMap<>();
            for (Map.Entry<Integer, Field> e : tagged.fields().entrySet())
                if (random.nextBoolean())
                    m.put(e.getKey(), value(e.getValue().type));
            return m;
        }
        if (t.isArray()) {
            Type of = t.arrayElementType().get();
            Object[] a = new Object[random.nextInt(3)];
            for (int i = 0; i < a.length; i++)
                a[i] = value(of);
            return a;
        }
        if (t == Type.BOOLEAN) return random.nextBoolean();
        if (t == Type.INT8) return (byte) number(8);
        if (t == Type.INT16) return (short) number(16);
        if (t == Type.UINT16) return (int) (number(16) & 0xffff);
        if (t == Type.INT32) return (int) number(32);
        if (t == Type.UNSIGNED_INT32) return number(32) & 0xffffffffL;
        if (t == Type.INT64) return number(64);
        if (t == Type.FLOAT64) return random.nextDouble();
        if (t == Type.UUID) return random.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        String name = t.toString();
        if (name.contains("STRING")) return text();
        if (name.contains("RECORDS")) return MemoryRecords.readableRecords(bytes());
        if (name.contains("BYTES")) return bytes();
        throw new IllegalStateException("type " + name);
    }

    static Struct struct(Schema schema) {
        Struct s = new Struct(schema);
        for (BoundField f : schema.fields())
            s.set(f, value(f.def.type));
        return s;
    }

    static byte[] encode(Message m, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer out = ByteBuffer.allocate(m.size(cache, version));
        m.write(new ByteBufferAccessor(out), cache, version);
        if (out.hasRemaining())
            throw new IllegalStateException("size");
        return out.array();
    }

    static byte[] again(Class<?> c, byte[] in, short version) throws Exception {
        Message m = (Message) c.getDeclaredConstructor().newInstance();
        ByteBuffer b = ByteBuffer.wrap(in);
        m.read(new ByteBufferAccessor(b), version);
        if (b.hasRemaining())
            throw new IllegalStateException(b.remaining() + " bytes left");
        return encode(m, version);
    }

    // The version of a record's key is its type: all of them have one layout.
    static short versionOf(String name, String kind, int v) {
        return (short) (kind.equals("data") && name.endsWith("Key") ? 0 : v);
    }

    // A structure that is both tagged and nullable is written by its Schema as its class does not read it (Kafka's own
    // inconsistency): such a draw is made again.
    static byte[] draw(Class<?> c, Schema schema, short version) throws Exception {
        for (int tries = 0;; tries++) {
            Struct s = struct(schema);
            ByteBuffer b = ByteBuffer.allocate(schema.sizeOf(s));
            schema.write(b, s);
            try {
                return again(c, b.array(), version);
            } catch (RuntimeException e) {
                if (tries == 100)
                    throw e;
                redrawn++;
            }
        }
    }

    static void generate(BufferedReader in, int count) throws Exception {
        StringBuilder out = new StringBuilder();
        for (String line; (line = in.readLine()) != null;) {
            String[] part = line.split(" ");
            Class<?> c = classOf(part[0], part[1]);
            Schema[] schemas = (Schema[]) c.getField("SCHEMAS").get(null);
            for (int v = Integer.parseInt(part[2]); v <= Integer.parseInt(part[3]); v++) {
                short version = versionOf(part[0], part[1], v);
                if (version >= schemas.length || schemas[version] == null)
                    continue;
                for (int i = 0; i < count; i++)
                    out.append(part[0]).append(' ').append(part[1]).append(' ').append(v).append(' ')
                        .append(HexFormat.of().formatHex(draw(c, schemas[version], version))).append('\n');
            }
        }
        System.out.print(out);
        System.err.println(redrawn + " drawn again");
    }

    static int verify(BufferedReader in) throws Exception {
        int bad = 0, good = 0, unknown = 0;
        for (String line; (line = in.readLine()) != null;) {
            String[] part = line.split(" ", -1);
            Class<?> c = classOf(part[0], part[1]);
            short v = versionOf(part[0], part[1], Integer.parseInt(part[2]));
            Schema[] schemas = (Schema[]) c.getField("SCHEMAS").get(null);
            if (v >= schemas.length || schemas[v] == null) {
                unknown++;
                continue;
            }
            String back;
            try {
                back = HexFormat.of().formatHex(again(c, HexFormat.of().parseHex(part[3]), v));
            } catch (Exception e) {
                back = e.toString();
            }
            if (back.equals(part[3])) {
                good++;
            } else if (bad++ < 20) {
                System.out.println(line + "\n  written again: " + back);
            }
        }
        System.out.println(good + " messages are the same, " + bad + " are not, " + unknown + " of versions that Kafka has not");
        return bad == 0 && good > 0 ? 0 : 1;
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        if (args[0].equals("generate")) {
            random = new Random(Long.parseLong(args[1]));
            generate(in, Integer.parseInt(args[2]));
        } else {
            System.exit(verify(in));
        }
    }
}
