#include <jni.h>

#include <net.h>

static ncnn::Net net;

extern "C" JNIEXPORT jboolean JNICALL
Java_com_example_face_Face_load(JNIEnv* env, jclass, jstring param, jstring bin) {
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
    const char* paths[] = {env->GetStringUTFChars(param, 0), env->GetStringUTFChars(bin, 0)};
    bool loaded = !net.load_param(paths[0]) && !net.load_model(paths[1]);
    env->ReleaseStringUTFChars(param, paths[0]);
    env->ReleaseStringUTFChars(bin, paths[1]);
    return loaded;
}

extern "C" JNIEXPORT jfloatArray JNICALL
Java_com_example_face_Face_embed(JNIEnv* env, jclass, jintArray pixels) {
    if (env->GetArrayLength(pixels) != 112 * 112) return 0;
    jint* argb = env->GetIntArrayElements(pixels, 0);
    const int order = ncnn::Mat::PIXEL_BGRA2RGB;  // an int of ARGB, lowest byte first
    ncnn::Mat image = ncnn::Mat::from_pixels((unsigned char*)argb, order, 112, 112), fc1;
    env->ReleaseIntArrayElements(pixels, argb, JNI_ABORT);
    ncnn::Extractor extractor = net.create_extractor();
    if (extractor.input("data", image) || extractor.extract("fc1", fc1)) return 0;
    jfloatArray embedding = env->NewFloatArray(fc1.w);
    env->SetFloatArrayRegion(embedding, 0, fc1.w, fc1);
    return embedding;
}
