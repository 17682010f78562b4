import com.example.face.Face;
import java.io.File;
import java.io.IOException;
import javax.imageio.ImageIO;

/** What an app does with the docs' Face: CompareFaces PARAM BIN A.png B.png. */
class CompareFaces {
    static int[] pixels(String path) throws IOException {
        return ImageIO.read(new File(path)).getRGB(0, 0, 112, 112, null, 0, 112);
    }

    public static void main(String[] arguments) throws IOException {
        if (!Face.load(arguments[0], arguments[1])) System.exit(1);
        if (Face.embed(new int[7]) != null) System.exit(2);
        float[] a = Face.embed(pixels(arguments[2])), b = Face.embed(pixels(arguments[3]));
        System.out.printf("%.6f%n", Face.cosine(a, b));
    }
}
