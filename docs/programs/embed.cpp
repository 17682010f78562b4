// Prints the similarity of two aligned faces: embed model.param model.bin a.rgb b.rgb
// Each .rgb file has the 112x112 pixels of a face, row by row, three bytes per pixel.
#include <cmath>
#include <cstdio>
#include <vector>

#include <ncnn/net.h>

static std::vector<float> embed(ncnn::Net& net, const char* path) {
    std::vector<unsigned char> pixels(112 * 112 * 3);
    FILE* file = std::fopen(path, "rb");
    if (!file || std::fread(pixels.data(), 1, pixels.size(), file) != pixels.size()) return {};
    std::fclose(file);
    ncnn::Mat image = ncnn::Mat::from_pixels(pixels.data(), ncnn::Mat::PIXEL_RGB, 112, 112), fc1;
    ncnn::Extractor extractor = net.create_extractor();
    if (extractor.input("data", image) || extractor.extract("fc1", fc1)) return {};
    return std::vector<float>((float*)fc1, (float*)fc1 + fc1.w);
}

int main(int argc, char** argv) {
    ncnn::Net net;
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
    if (argc != 5 || net.load_param(argv[1]) || net.load_model(argv[2])) return 1;
    const std::vector<float> a = embed(net, argv[3]), b = embed(net, argv[4]);
    if (a.empty() || b.empty()) return 1;
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    std::printf("%.6f\n", ab / std::sqrt(aa * bb));
}
