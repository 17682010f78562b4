package com.example.face;

/** A face recognition network, run by ncnn. */
public final class Face {
    static {
        System.loadLibrary("face");
    }

    /** Loads the network from its two files; returns whether that succeeded. */
    public static native boolean load(String param, String bin);

    /** Embeds an aligned face of 112x112 pixels, ARGB, as Bitmap.getPixels() returns them. */
    public static native float[] embed(int[] pixels);

    /** Returns the similarity of two faces, from -1 to 1. */
    public static double cosine(float[] a, float[] b) {
        double ab = 0, aa = 0, bb = 0;
        for (int i = 0; i < a.length; i++) {
            ab += a[i] * b[i];
            aa += a[i] * a[i];
            bb += b[i] * b[i];
        }
        return ab / Math.sqrt(aa * bb);
    }
}
