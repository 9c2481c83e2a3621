/* driver.cu - see driver.h. Matrices lie between guards on the device; results go back to the host to be judged there. */
#include "gpu_support.cuh"

extern "C" {
#include "driver.h"
}
#include "tcgemm.h"

using gpu::Array;
using gpu::Scene;

namespace {

/* Elements of a matrix with this leading dimension, without the padding behind its last row. */
size_t extent(size_t rows, size_t cols, size_t ld) { return rows && cols ? (rows - 1) * ld + cols : 0; }

/* The measured matrices, which stay between calls. */
std::vector<gpu::ArrayPointer> lefts, rights, products;

template <class Number> void fill(uint32_t seed)
{
    for (size_t i = 0; i < lefts.size(); i++) {
        gpu::drive_fill<<<1024, 256>>>(lefts[i]->as<Number>(), lefts[i]->bytes() / sizeof(Number),
                                       gpu::bits(seed, 2 * i));
        gpu::drive_fill<<<1024, 256>>>(rights[i]->as<Number>(), rights[i]->bytes() / sizeof(Number),
                                       gpu::bits(seed, 2 * i + 1));
        cudaMemset(products[i]->as<void>(), 0xff, products[i]->bytes());
    }
}

}  // namespace

int drive_hgemm(const drive_how *how, size_t m, size_t n, size_t k, float alpha, const uint16_t *a, size_t lda,
                const uint16_t *b, size_t ldb, float beta, float *c, size_t ldc, drive_seen *seen)
{
    const size_t ws_bytes = tc_workspace_bytes(m, n, k), half = sizeof *a;
    memset(seen, 0, sizeof *seen);
    seen->ws_bytes = ws_bytes;
    if (ws_bytes > ((size_t)256 << 20))
        return 0;
    std::vector<uint16_t> negated(a, a + (how->twin ? extent(m, k, lda) : 0));
    for (uint16_t &bits : negated)
        bits ^= 0x8000;
    const gpu::Input left = {a, negated.data(), extent(m, k, lda) * half, how->skew_a * half};
    const gpu::Input right = {b, b, extent(k, n, ldb) * half, how->skew_b * half};
    return gpu::play(how, {left, right}, ws_bytes, c, extent(m, n, ldc) * sizeof *c, how->skew_c * sizeof *c, c, seen,
                     [&](Scene &s) {
                         return tc_hgemm(m, n, k, alpha, s.in[0]->as<void>(), lda, s.in[1]->as<void>(), ldb, beta,
                                         s.out->as<float>(), ldc, s.workspace->as<void>(), s.ws_bytes, s.stream);
                     });
}

int drive_sgemm(const drive_how *how, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                const float *b, size_t ldb, float beta, float *c, size_t ldc, drive_seen *seen)
{
    const gpu::Input left = {a, a, extent(m, k, lda) * sizeof *a, how->skew_a * sizeof *a};
    const gpu::Input right = {b, b, extent(k, n, ldb) * sizeof *b, how->skew_b * sizeof *b};
    return gpu::play(how, {left, right}, 0, c, extent(m, n, ldc) * sizeof *c, how->skew_c * sizeof *c, c, seen,
                     [&](Scene &s) {
                         return tc_sgemm_smem(m, n, k, alpha, s.in[0]->as<float>(), lda, s.in[1]->as<float>(), ldb,
                                              beta, s.out->as<float>(), ldc, s.stream);
                     });
}

int drive_repeated_hgemm(size_t m, size_t n, size_t k, uint32_t seed, uint32_t times, float *c)
{
    const size_t ws_bytes = tc_workspace_bytes(m, n, k);
    Array a(m * k * sizeof(__half), 0, 0xff), b(k * n * sizeof(__half), 0, 0xff), ws(ws_bytes, 0, 0xff);
    Array out(times * m * n * sizeof *c, 0, 0xff);
    if (!a.exists() || !b.exists() || !ws.exists() || !out.exists())
        return cudaErrorMemoryAllocation;
    gpu::drive_fill<<<1024, 256>>>(a.as<__half>(), m * k, gpu::bits(seed, 0));
    gpu::drive_fill<<<1024, 256>>>(b.as<__half>(), k * n, gpu::bits(seed, 1));
    cudaDeviceSynchronize();
    const int status = gpu::repeat(times, seed, [&](uint32_t i, cudaStream_t s) {
        return tc_hgemm(m, n, k, 1, a.as<void>(), k, b.as<void>(), n, 0, out.as<float>() + i * m * n, n, ws.as<void>(),
                        ws_bytes, s);
    });
    out.get(c);
    return status;
}

int drive_nonsense(int32_t *answers)
{
    const size_t ws_bytes = tc_workspace_bytes(64, 64, 64);
    Array left(64 * 64 * 4, 0, 0), right(64 * 64 * 4, 0, 0), out(64 * 64 * 4, 0, 0), workspace(ws_bytes, 0, 0);
    void *a = left.as<void>(), *b = right.as<void>(), *w = workspace.as<void>();
    float *c = out.as<float>(), *x = left.as<float>(), *y = right.as<float>();
    const int32_t given[12] = {
        tc_hgemm(64, 64, 64, 1, a, 63, b, 64, 0, c, 64, w, ws_bytes, nullptr),
        tc_hgemm(64, 64, 64, 1, a, 64, b, 63, 0, c, 64, w, ws_bytes, nullptr),
        tc_hgemm(64, 64, 64, 1, a, 64, b, 64, 0, c, 63, w, ws_bytes, nullptr),
        tc_hgemm(64, 64, 64, 1, nullptr, 64, b, 64, 0, c, 64, w, ws_bytes, nullptr),
        tc_hgemm(64, 64, 64, 1, a, 64, nullptr, 64, 0, c, 64, w, ws_bytes, nullptr),
        tc_hgemm(64, 64, 64, 1, a, 64, b, 64, 0, nullptr, 64, w, ws_bytes, nullptr),
        tc_sgemm_smem(64, 64, 64, 1, x, 63, y, 64, 0, c, 64, nullptr),
        tc_sgemm_smem(64, 64, 64, 1, x, 64, y, 64, 0, nullptr, 64, nullptr),
        /* Nothing to do is no mistake. */
        tc_hgemm(0, 64, 64, 1, nullptr, 64, b, 64, 0, nullptr, 64, w, ws_bytes, nullptr),
        tc_hgemm(64, 0, 64, 1, a, 64, nullptr, 0, 0, nullptr, 0, w, ws_bytes, nullptr),
        tc_hgemm(64, 64, 0, 1, nullptr, 0, nullptr, 64, 0, c, 64, w, ws_bytes, nullptr),
        tc_sgemm_smem(0, 64, 64, 1, nullptr, 64, y, 64, 0, nullptr, 64, nullptr),
    };
    memcpy(answers, given, sizeof given);
    const cudaError_t error = cudaDeviceSynchronize();
    cudaGetLastError();
    return error;
}

int drive_prepare(size_t count, size_t m, size_t n, size_t k, int single, size_t places, uint32_t seed)
{
    const size_t size = single ? sizeof(float) : sizeof(__half);
    if (!gpu::keep(lefts, count, m * k * size) || !gpu::keep(rights, count, k * n * size) ||
        !gpu::keep(products, count, m * n * sizeof(float)))
        return cudaErrorMemoryAllocation;
    const size_t ws_bytes = tc_workspace_bytes(m, n, k);
    void *workspace = gpu::reserved(gpu::WORKSPACE, ws_bytes)->as<void>();
    /* A product of whatever lies there: its kernel is loaded when it is first launched, which is not to be timed. */
    const int status = single ? tc_sgemm_smem(m, n, k, 1, lefts[0]->as<float>(), k, rights[0]->as<float>(), n, 0,
                                              products[0]->as<float>(), n, gpu::measuring_stream())
                              : tc_hgemm(m, n, k, 1, lefts[0]->as<void>(), k, rights[0]->as<void>(), n, 0,
                                         products[0]->as<float>(), n, workspace, ws_bytes, gpu::measuring_stream());
    const cudaError_t warm = cudaDeviceSynchronize();
    if (status || warm)
        return status ? status : warm;
    single ? fill<float>(seed) : fill<__half>(seed);
    gpu::reserve_for_sample(places);
    return cudaDeviceSynchronize();
}

int drive_products(uint32_t passes, uint32_t seed, size_t m, size_t n, size_t k, int single, float *milliseconds)
{
    const size_t ws_bytes = tc_workspace_bytes(m, n, k);
    void *workspace = gpu::reserved(gpu::WORKSPACE, ws_bytes)->as<void>();
    if (single)
        return gpu::measure<float>(passes, lefts, seed, milliseconds, [&](uint32_t, size_t i, cudaStream_t s) {
            return tc_sgemm_smem(m, n, k, 1, lefts[i]->as<float>(), k, rights[i]->as<float>(), n, 0,
                                 products[i]->as<float>(), n, s);
        });
    return gpu::measure<__half>(passes, lefts, seed, milliseconds, [&](uint32_t, size_t i, cudaStream_t s) {
        return tc_hgemm(m, n, k, 1, lefts[i]->as<void>(), k, rights[i]->as<void>(), n, 0, products[i]->as<float>(), n,
                        workspace, ws_bytes, s);
    });
}

int drive_sample(size_t places, const uint32_t *which, const uint64_t *where, uint32_t *out)
{
    return gpu::sample(products, places, which, where, out);
}
