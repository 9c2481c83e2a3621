/* driver.cu - see driver.h. Arrays lie between guards on the device; results go back to the host to be judged there. */
#include "gpu_support.cuh"


extern "C" {
#include "driver.h"
}
#include "redtr.h"

using gpu::Array;
using gpu::Scene;

namespace {

/* The measured inputs and results, which stay between calls. */
std::vector<gpu::ArrayPointer> inputs, results;

size_t length() { return inputs.empty() ? 0 : inputs[0]->bytes() / sizeof(float); }

}  // namespace

int drive_reduce(int what, const drive_how *how, const float *in, size_t n, float *out, drive_seen *seen)
{
    const size_t ws_bytes = red_workspace_bytes(n);
    if (ws_bytes > (1u << 20)) {
        memset(seen, 0, sizeof *seen);
        seen->ws_bytes = ws_bytes;
        return 0;
    }
    std::vector<float> negated(in, in + (how->twin ? n : 0));
    for (float &number : negated)
        number = -number;
    auto function = what == DRIVE_MAX ? red_max_f32 : red_sum_f32;
    const gpu::Input input = {in, negated.data(), n * sizeof *in, how->skew * sizeof *in};
    return gpu::play(how, {input}, ws_bytes, out, sizeof *out, 0, nullptr, seen, [&](Scene &s) {
        return function(s.in[0]->as<float>(), n, s.out->as<float>(), s.workspace->as<void>(), s.ws_bytes, s.stream);
    });
}

int drive_warp_sum(const drive_how *how, const float *in, size_t nwarps, float *out, drive_seen *seen)
{
    const gpu::Input input = {in, in, nwarps * 32 * sizeof *in, how->skew * sizeof *in};
    return gpu::play(how, {input}, 0, out, nwarps * sizeof *out, 0, nullptr, seen, [&](Scene &s) {
        return red_warp_sum_f32(s.in[0]->as<float>(), s.out->as<float>(), nwarps, s.stream);
    });
}

int drive_rows_sum(const drive_how *how, const float *in, size_t rows, size_t cols, size_t ld, float *out,
                   drive_seen *seen)
{
    const gpu::Input input = {in, in, rows * ld * sizeof *in, how->skew * sizeof *in};
    return gpu::play(how, {input}, 0, out, rows * sizeof *out, 0, nullptr, seen, [&](Scene &s) {
        return red_rows_sum_f32(s.in[0]->as<float>(), rows, cols, ld, s.out->as<float>(), s.stream);
    });
}

int drive_transpose(int bytes, const drive_how *how, const void *in, size_t rows, size_t cols, size_t ld_in, void *out,
                    size_t ld_out, drive_seen *seen)
{
    const size_t size = (size_t)bytes;
    const gpu::Input input = {in, in, rows * ld_in * size, how->skew * size};
    return gpu::play(how, {input}, 0, out, cols * ld_out * size, 0, nullptr, seen, [&](Scene &s) {
        if (bytes == 2)
            return tr_f16(s.in[0]->as<void>(), rows, cols, ld_in, s.out->as<void>(), ld_out, s.stream);
        return tr_f32(s.in[0]->as<float>(), rows, cols, ld_in, s.out->as<float>(), ld_out, s.stream);
    });
}

int drive_nonsense(int32_t *answers)
{
    Array in(4096, 0, 0), out(4096, 0, 0), ws((size_t)1 << 20, 0, 0);
    float *x = in.as<float>(), *y = out.as<float>();
    void *w = ws.as<void>();
    const size_t big = (size_t)1 << 22, needed = red_workspace_bytes(big);
    const int32_t given[16] = {
        red_sum_f32(nullptr, 8, y, w, 1 << 20, nullptr),
        red_sum_f32(x, 8, nullptr, w, 1 << 20, nullptr),
        needed ? red_sum_f32(x, big, y, w, needed - 1, nullptr) : (int)cudaErrorInvalidValue,
        red_max_f32(nullptr, 8, y, w, 1 << 20, nullptr),
        red_max_f32(x, 8, nullptr, w, 1 << 20, nullptr),
        needed ? red_max_f32(x, big, y, w, needed - 1, nullptr) : (int)cudaErrorInvalidValue,
        tr_f32(x, 4, 8, 7, y, 4, nullptr),
        tr_f32(x, 4, 8, 8, y, 3, nullptr),
        tr_f32(x, 4, 8, 8, x, 4, nullptr),
        tr_f32(nullptr, 4, 8, 8, y, 4, nullptr),
        tr_f32(x, 4, 8, 8, nullptr, 4, nullptr),
        /* Nothing to do is no mistake. */
        red_sum_f32(nullptr, 0, y, w, 1 << 20, nullptr),
        red_max_f32(nullptr, 0, y, w, 1 << 20, nullptr),
        red_warp_sum_f32(nullptr, nullptr, 0, nullptr),
        tr_f32(x, 0, 8, 8, y, 4, nullptr),
        tr_f32(x, 4, 0, 8, y, 4, nullptr),
    };
    memcpy(answers, given, sizeof given);
    const cudaError_t error = cudaDeviceSynchronize();
    cudaGetLastError();
    return error;
}

int drive_filled_sum(size_t n, uint32_t seed, float *out)
{
    Array in(n * sizeof(float), 0, 0xff), result(sizeof *out, 0, 0xff), ws(red_workspace_bytes(n), 0, 0xff);
    if (!in.exists() || !ws.exists())
        return cudaErrorMemoryAllocation;
    gpu::drive_fill<<<1024, 256>>>(in.as<float>(), n, seed);
    cudaDeviceSynchronize();
    const int status =
        red_sum_f32(in.as<float>(), n, result.as<float>(), ws.as<void>(), red_workspace_bytes(n), nullptr);
    const cudaError_t error = cudaDeviceSynchronize();
    result.get(out);
    return status ? status : error;
}

int drive_repeated_sum(size_t n, uint32_t seed, uint32_t times, float *out)
{
    const size_t ws_bytes = red_workspace_bytes(n);
    Array in(n * sizeof(float), 0, 0xff), results(times * sizeof *out, 0, 0xff), ws(ws_bytes, 0, 0xff);
    if (!in.exists() || !results.exists() || !ws.exists())
        return cudaErrorMemoryAllocation;
    gpu::drive_fill<<<1024, 256>>>(in.as<float>(), n, seed);
    cudaDeviceSynchronize();
    const int status = gpu::repeat(times, seed, [&](uint32_t i, cudaStream_t s) {
        return red_sum_f32(in.as<float>(), n, results.as<float>() + i, ws.as<void>(), ws_bytes, s);
    });
    results.get(out);
    return status;
}

int drive_filled_transpose(size_t rows, size_t cols, uint32_t seed, size_t places, const uint64_t *where, uint32_t *out)
{
    Array in(rows * cols * sizeof(float), 0, 0xff), result(rows * cols * sizeof(float), 0, 0xff);
    if (!in.exists() || !result.exists())
        return cudaErrorMemoryAllocation;
    gpu::drive_fill<<<1024, 256>>>(in.as<float>(), rows * cols, seed);
    cudaDeviceSynchronize();
    const int status = tr_f32(in.as<float>(), rows, cols, cols, result.as<float>(), rows, nullptr);
    const cudaError_t error = cudaDeviceSynchronize();
    for (size_t j = 0; j < places && !error; j++)
        cudaMemcpy(&out[j], result.as<uint32_t>() + where[j], sizeof *out, cudaMemcpyDeviceToHost);
    return status ? status : error;
}

int drive_prepare(size_t count, size_t n, int outputs, size_t places, uint32_t seed)
{
    const size_t bytes = n * sizeof(float);
    if (!gpu::keep(inputs, count, bytes) || !gpu::keep(results, outputs ? count : 0, bytes))
        return cudaErrorMemoryAllocation;
    for (size_t k = 0; k < count; k++)
        gpu::drive_fill<<<1024, 256>>>(inputs[k]->as<float>(), n, gpu::bits(seed, k));
    for (const gpu::ArrayPointer &array : results)
        cudaMemset(array->as<void>(), 0xff, bytes);
    gpu::reserved(gpu::WORKSPACE, red_workspace_bytes(n));
    gpu::reserved(gpu::RESULTS, places * sizeof(float));
    gpu::reserve_for_sample(places);
    return cudaDeviceSynchronize();
}

int drive_sums(uint32_t passes, uint32_t seed, size_t total, float *sums, float *milliseconds)
{
    const size_t n = length(), ws_bytes = red_workspace_bytes(n);
    void *workspace = gpu::reserved(gpu::WORKSPACE, ws_bytes)->as<void>();
    float *out = gpu::reserved(gpu::RESULTS, total * sizeof *sums)->as<float>();
    const int status = gpu::measure<float>(
        passes, inputs, seed, milliseconds, [&](uint32_t pass, size_t k, cudaStream_t s) {
            float *sum = out + pass * inputs.size() + k;
            return red_sum_f32(inputs[k]->as<float>(), n, sum, workspace, ws_bytes, s);
        });
    cudaMemcpy(sums, out, total * sizeof *sums, cudaMemcpyDeviceToHost);
    return status;
}

int drive_transposes(uint32_t passes, uint32_t seed, size_t rows, size_t cols, float *milliseconds)
{
    return gpu::measure<float>(passes, inputs, seed, milliseconds, [&](uint32_t, size_t k, cudaStream_t s) {
        return tr_f32(inputs[k]->as<float>(), rows, cols, cols, results[k]->as<float>(), rows, s);
    });
}

int drive_sample(size_t places, const uint32_t *which, const uint64_t *where, uint32_t *out)
{
    return gpu::sample(results, places, which, where, out);
}
