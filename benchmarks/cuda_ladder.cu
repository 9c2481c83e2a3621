/*
 * The ladder of the two CUDA labs: every rung checked against a simple reference over awkward sizes, then timed beside
 * what the machine can do: a device-to-device copy, or cuBLAS. One line a rung and size. cuda_ladder.sh builds it.
 *
 *   cuda_ladder redtr:NAME:LIBRARY.so ... tcgemm:NAME:LIBRARY.so ...
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <string>
#include <vector>

#ifdef WITH_CUBLAS
#include <cublas_v2.h>
#endif
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        const cudaError_t e_ = (call);                                                                                 \
        if (e_ != cudaSuccess) {                                                                                       \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(e_));                              \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static cudaStream_t stream;

/* ---- device memory, filled and poisoned ---- */

template <typename T> struct array {
    T *data = nullptr;
    size_t count = 0;
    explicit array(size_t n) : count(n)
    {
        OK(cudaMalloc(&data, (n + 64) * sizeof(T)));
        OK(cudaMemset(data, 0xff, (n + 64) * sizeof(T))); /* NaN as float and as half */
    }
    array(const array &) = delete;
    ~array()
    {
        cudaFree(data);
    }
};

enum numbers { UNIFORM, SIGNED, ONES, WHOLE_NUMBERS, NEGATIVE };

__device__ float number(uint64_t i, uint32_t seed, int kind)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    const uint32_t bits = static_cast<uint32_t>(z >> 40);
    const float u = bits * (1.0f / 16777216.0f);
    switch (kind) {
    case SIGNED:
        return 2.0f * u - 1.0f;
    case ONES:
        return 1.0f;
    case WHOLE_NUMBERS:
        return static_cast<float>(static_cast<int>(bits % 9) - 4);
    case NEGATIVE:
        return -1.0f - u;
    default:
        return u;
    }
}

template <typename T> __global__ void fill_kernel(T *x, size_t rows, size_t cols, size_t ld, uint32_t seed, int kind)
{
    for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < rows * cols; i += size_t(gridDim.x) * blockDim.x)
        x[i / cols * ld + i % cols] = static_cast<T>(number(i, seed, kind));
}

template <typename T> static void fill(T *x, size_t rows, size_t cols, size_t ld, uint32_t seed, numbers kind)
{
    if (rows != 0 && cols != 0)
        fill_kernel<<<1024, 256, 0, stream>>>(x, rows, cols, ld, seed, kind);
    OK(cudaGetLastError());
}

/* ---- time ---- */

/* Seconds of one call, from `calls` of them in a row. */
static double seconds(const std::function<void(int)> &call, int calls)
{
    cudaEvent_t begin, end;
    OK(cudaEventCreate(&begin));
    OK(cudaEventCreate(&end));
    OK(cudaEventRecord(begin, stream));
    for (int i = 0; i < calls; i++)
        call(i);
    OK(cudaEventRecord(end, stream));
    OK(cudaEventSynchronize(end));
    float ms;
    OK(cudaEventElapsedTime(&ms, begin, end));
    OK(cudaEventDestroy(begin));
    OK(cudaEventDestroy(end));
    return ms * 1e-3 / calls;
}

static double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

struct duel {
    double mine, other, ratio; /* seconds, seconds, other / mine: the median of pairs */
};

/* Both in turn, five times; each turn takes about `turn` seconds. */
static duel compare(const std::function<void(int)> &mine, const std::function<void(int)> &other, double turn = 0.01)
{
    auto calls_for = [&](double t) { return std::max(1, std::min(200, static_cast<int>(turn / t))); };
    const int calls = calls_for((seconds(mine, 1), seconds(mine, 1)));
    const int other_calls = calls_for((seconds(other, 1), seconds(other, 1)));
    std::vector<double> a, b, r;
    for (int round = 0; round < 5; round++) {
        a.push_back(seconds(mine, calls));
        b.push_back(seconds(other, other_calls));
        r.push_back(b.back() / a.back());
    }
    return {median(a), median(b), median(r)};
}

/* ---- libraries ---- */

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        printf("no function %s\n", name);
        exit(1);
    }
    return found;
}

static int wrong; /* of the rung that is being checked */

static void expect(bool fact, const char *what, size_t a = 0, size_t b = 0, size_t c = 0, double got = 0,
                   double want = 0)
{
    if (!fact && wrong++ < 8)
        printf("    WRONG: %s (%zu %zu %zu): got %.9g, expected %.9g\n", what, a, b, c, got, want);
}

/* Once directly and once from a graph; both must be accepted. */
static void run_twice(const std::function<int()> &call, const char *what, size_t a = 0, size_t b = 0, size_t c = 0)
{
    const int error = call();
    expect(error == 0, what, a, b, c, error, 0);
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    const int captured = call();
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
    expect(captured == 0 && ended == cudaSuccess, "recorded into a graph", a, b, c, captured, ended);
    if (ended != cudaSuccess) {
        cudaGetLastError();
        return;
    }
    OK(cudaGraphInstantiate(&ready, graph, 0));
    OK(cudaGraphLaunch(ready, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaGraphExecDestroy(ready));
    OK(cudaGraphDestroy(graph));
}

/* ---- reductions and transposes ---- */

using reduce_fn = int(const float *, size_t, float *, void *, size_t, cudaStream_t);

struct redtr {
    size_t (*bytes)(size_t);
    reduce_fn *sum, *max;
    int (*warps)(const float *, float *, size_t, cudaStream_t);
    int (*rows)(const float *, size_t, size_t, size_t, float *, cudaStream_t);
    int (*f32)(const float *, size_t, size_t, size_t, float *, size_t, cudaStream_t);
    int (*f16)(const void *, size_t, size_t, size_t, void *, size_t, cudaStream_t);
};

static float one(const float *d)
{
    float x;
    OK(cudaMemcpy(&x, d, sizeof x, cudaMemcpyDeviceToHost));
    return x;
}

static void check_reduce(const redtr &f, size_t n, size_t shift, numbers kind)
{
    array<float> in(n + shift), out(1);
    const size_t bytes = f.bytes(n);
    array<unsigned char> ws(bytes);
    fill(in.data + shift, 1, n, n, 7, kind);
    std::vector<float> host(n);
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(host.data(), in.data + shift, n * sizeof(float), cudaMemcpyDeviceToHost));
    double sum = 0, size = 0;
    float max = -INFINITY;
    for (float x : host)
        sum += x, size += std::fabs(x), max = std::max(max, x);
    run_twice([&] { return f.sum(in.data + shift, n, out.data, ws.data, bytes, stream); }, "sum", n, shift);
    const double got = one(out.data);
    expect(std::fabs(got - sum) <= 8 * size / 16777216, "sum", n, shift, kind, got, sum);
    run_twice([&] { return f.max(in.data + shift, n, out.data, ws.data, bytes, stream); }, "max", n, shift);
    expect(one(out.data) == max, "max", n, shift, kind, one(out.data), max);
    std::vector<unsigned char> behind(64);
    OK(cudaMemcpy(behind.data(), ws.data + bytes, 64, cudaMemcpyDeviceToHost));
    for (unsigned char x : behind)
        expect(x == 0xff, "behind the workspace", n, shift, kind, x, 255);
    if (n > 3) {
        const float nan = NAN;
        OK(cudaMemcpy(in.data + shift + n / 2, &nan, sizeof nan, cudaMemcpyHostToDevice));
        f.max(in.data + shift, n, out.data, ws.data, bytes, stream);
        OK(cudaStreamSynchronize(stream));
        expect(std::isnan(one(out.data)), "max with a NaN", n, shift, kind, one(out.data), NAN);
    }
}

static void check_rows(const redtr &f, size_t rows, size_t cols, size_t ld)
{
    array<float> in(rows * ld), out(rows);
    fill(in.data, rows, cols, ld, 11, UNIFORM);
    run_twice([&] { return f.rows(in.data, rows, cols, ld, out.data, stream); }, "rows", rows, cols, ld);
    std::vector<float> host(rows * ld), got(rows);
    OK(cudaMemcpy(host.data(), in.data, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
    OK(cudaMemcpy(got.data(), out.data, rows * sizeof(float), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < cols; j++)
            sum += host[i * ld + j];
        expect(std::fabs(got[i] - sum) <= 8 * sum / 16777216, "rows", rows, cols, i, got[i], sum);
    }
}

static void check_warps(const redtr &f, size_t n, size_t shift)
{
    array<float> in(32 * n + shift), out(n);
    fill(in.data + shift, n, 32, 32, 13, UNIFORM);
    run_twice([&] { return f.warps(in.data + shift, out.data, n, stream); }, "warps", n, shift);
    std::vector<float> host(32 * n), got(n + 1);
    OK(cudaMemcpy(host.data(), in.data + shift, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
    OK(cudaMemcpy(got.data(), out.data, (n + 1) * sizeof(float), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < 32; j++)
            sum += host[32 * i + j];
        expect(std::fabs(got[i] - sum) <= 8 * sum / 16777216, "warps", n, shift, i, got[i], sum);
    }
    expect(std::isnan(got[n]), "behind the sums of warps", n, shift, 0, got[n], NAN);
}

/* Counts what is wrong in a transpose: elements of the matrix, and padding that no longer holds the poison. */
template <typename T>
__global__ void mismatches(const T *in, size_t rows, size_t cols, size_t ld_in, const T *out, size_t ld_out,
                           unsigned long long *count)
{
    for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < cols * ld_out;
         i += size_t(gridDim.x) * blockDim.x) {
        const size_t row = i % ld_out, col = i / ld_out;
        const T want = row < rows ? in[row * ld_in + col] : static_cast<T>(-1);
        if (out[i] != want)
            atomicAdd(count, 1ull);
    }
}

template <typename T, typename fn>
static void check_transpose(fn *f, size_t rows, size_t cols, size_t ld_in, size_t ld_out, size_t shift)
{
    using bits = typename std::conditional<sizeof(T) == 4, uint32_t, unsigned short>::type;
    array<T> in(rows * ld_in + shift), out(cols * ld_out + shift);
    array<unsigned long long> count(1);
    fill(in.data + shift, rows, cols, ld_in, 17, UNIFORM);
    OK(cudaMemsetAsync(count.data, 0, sizeof(unsigned long long), stream));
    run_twice([&] { return f(in.data + shift, rows, cols, ld_in, out.data + shift, ld_out, stream); }, "transpose",
              rows, cols, ld_in);
    mismatches<<<1024, 256, 0, stream>>>(reinterpret_cast<bits *>(in.data + shift), rows, cols, ld_in,
                                         reinterpret_cast<bits *>(out.data + shift), ld_out, count.data);
    OK(cudaStreamSynchronize(stream));
    unsigned long long bad;
    OK(cudaMemcpy(&bad, count.data, sizeof bad, cudaMemcpyDeviceToHost));
    expect(bad == 0, sizeof(T) == 4 ? "transpose f32" : "transpose f16", rows, cols, shift, static_cast<double>(bad),
           0);
}

static void line(const char *name, const char *what, double bytes, const duel &d)
{
    printf("  %-18s %-28s %8.1f us  %8.1f GB/s   copy %8.1f GB/s   fraction %.3f\n", name, what, d.mine * 1e6,
           bytes / d.mine * 1e-9, bytes / d.mine * 1e-9 / d.ratio, d.ratio);
    fflush(stdout);
}

static void ladder_redtr(const char *name, void *library)
{
    const redtr f = {reinterpret_cast<size_t (*)(size_t)>(symbol(library, "red_workspace_bytes")),
                     reinterpret_cast<reduce_fn *>(symbol(library, "red_sum_f32")),
                     reinterpret_cast<reduce_fn *>(symbol(library, "red_max_f32")),
                     reinterpret_cast<decltype(redtr::warps)>(symbol(library, "red_warp_sum_f32")),
                     reinterpret_cast<decltype(redtr::rows)>(symbol(library, "red_rows_sum_f32")),
                     reinterpret_cast<decltype(redtr::f32)>(symbol(library, "tr_f32")),
                     reinterpret_cast<decltype(redtr::f16)>(symbol(library, "tr_f16"))};
    wrong = 0;
    for (size_t n : {size_t(0), size_t(1), size_t(2), size_t(31), size_t(32), size_t(33), size_t(255), size_t(256),
                     size_t(1023), size_t(1024), size_t(1025), size_t(4095), size_t(4097), size_t(8193), size_t(100000),
                     (size_t(1) << 20) - 1, (size_t(1) << 20) + 1, (size_t(1) << 24) + 3})
        for (size_t shift : {size_t(0), size_t(1), size_t(3)})
            check_reduce(f, n, shift, n % 2 ? NEGATIVE : UNIFORM);
    check_reduce(f, size_t(1) << 24, 0, ONES);
    for (size_t n : {1, 2, 7, 8, 33, 1000, 100001})
        for (size_t shift : {0, 1})
            check_warps(f, n, shift);
    for (size_t cols : {1, 31, 32, 33, 500, 1025, 5000})
        for (size_t pad : {0, 3})
            check_rows(f, 77, cols, cols + pad);
    const size_t sides[] = {1, 7, 31, 32, 33, 63, 64, 65, 130, 1000};
    for (size_t rows : sides)
        for (size_t cols : sides)
            for (size_t pad : {0, 3, 4}) {
                check_transpose<float>(f.f32, rows, cols, cols + pad, rows + pad, pad % 2);
                check_transpose<half>(f.f16, rows, cols, cols + pad, rows + pad, pad % 2);
            }
    check_transpose<float>(f.f32, 4096, 4096, 4096, 4096, 0);
    check_transpose<float>(f.f32, 3, 5000000, 5000000, 3, 0);
    check_transpose<float>(f.f32, 5000000, 3, 3, 5000000, 0);
    printf("  %-18s %s\n", name, wrong ? "WRONG" : "right");

    const size_t n = size_t(1) << 28;
    array<float> in(n), out(n);
    array<unsigned char> ws(f.bytes(n));
    fill(in.data, 1, n, n, 3, UNIFORM);
    for (size_t size : {n, n / 4, size_t(100000)}) {
        auto copy = [&](int) {
            OK(cudaMemcpyAsync(out.data, in.data, size / 2 * sizeof(float), cudaMemcpyDeviceToDevice, stream));
        };
        char what[64];
        snprintf(what, sizeof what, "sum n=%zu", size);
        line(name, what, 4.0 * size,
             compare([&](int) { f.sum(in.data, size, out.data, ws.data, f.bytes(size), stream); }, copy));
        snprintf(what, sizeof what, "max n=%zu", size);
        line(name, what, 4.0 * size,
             compare([&](int) { f.max(in.data, size, out.data, ws.data, f.bytes(size), stream); }, copy));
    }
    auto copy = [&](size_t elements) {
        return [&, elements](int) {
            OK(cudaMemcpyAsync(out.data, in.data, elements * sizeof(float), cudaMemcpyDeviceToDevice, stream));
        };
    };
    line(name, "warp sums, 2^23 rows", 4.0 * n,
         compare([&](int) { f.warps(in.data, out.data, n / 32, stream); }, copy(n / 2)));
    line(name, "row sums, 65536 x 4096", 4.0 * n,
         compare([&](int) { f.rows(in.data, 65536, 4096, 4096, out.data, stream); }, copy(n / 2)));
    line(name, "row sums, 2^20 x 256", 4.0 * n,
         compare([&](int) { f.rows(in.data, size_t(1) << 20, 256, 256, out.data, stream); }, copy(n / 2)));
    const size_t shapes[][2] = {{16384, 16384}, {8192, 8192}, {10000, 12000}, {8191, 8193}, {1000, 100000}};
    for (auto &s : shapes) {
        char what[64];
        snprintf(what, sizeof what, "transpose f32 %zux%zu", s[0], s[1]);
        line(name, what, 8.0 * s[0] * s[1],
             compare([&](int) { f.f32(in.data, s[0], s[1], s[1], out.data, s[0], stream); }, copy(s[0] * s[1])));
    }
    line(name, "transpose f16 16384x16384", 4.0 * n,
         compare([&](int) { f.f16(in.data, 16384, 16384, 16384, out.data, 16384, stream); }, copy(n / 2)));
}

/* ---- products ---- */

struct tcgemm {
    size_t (*bytes)(size_t, size_t, size_t);
    int (*half_)(size_t, size_t, size_t, float, const void *, size_t, const void *, size_t, float, float *, size_t,
                 void *, size_t, cudaStream_t);
    int (*single)(size_t, size_t, size_t, float, const float *, size_t, const float *, size_t, float, float *, size_t,
                  cudaStream_t);
};

/* Rows `first`, first + stride, ... of C against sums in double precision; counts elements outside the bound. */
template <typename T>
__global__ void errors(size_t m, size_t n, size_t k, float alpha, const T *a, size_t lda, const T *b, size_t ldb,
                       float beta, const float *before, const float *c, size_t ldc, size_t stride,
                       unsigned long long *count)
{
    const size_t col = blockIdx.x * size_t(blockDim.x) + threadIdx.x, row = blockIdx.y * stride;
    if (row >= m || col >= ldc)
        return;
    const float got = c[row * ldc + col];
    if (col >= n) {
        if (__float_as_uint(got) != 0xffffffffu) /* padding keeps its poison */
            atomicAdd(count, 1ull);
        return;
    }
    double sum = 0, size = 0;
    for (size_t q = 0; q < k; q++) {
        const double product =
            static_cast<double>(static_cast<float>(a[row * lda + q])) * static_cast<float>(b[q * ldb + col]);
        sum += product;
        size += fabs(product);
    }
    const double old = beta == 0.0f ? 0.0 : static_cast<double>(beta) * before[row * ldc + col];
    const double u = 1.0 / 16777216, bound = (16 * sqrt(static_cast<double>(k)) + k / 4.0) * u * fabs(alpha) * size +
                                             4 * u * (fabs(old) + fabs(alpha * sum));
    if (!(fabs(alpha * sum + old - got) <= bound))
        atomicAdd(count, 1ull);
}

template <typename T>
static void check_product(const tcgemm &f, size_t m, size_t n, size_t k, size_t pad_a, size_t pad_b, size_t pad_c,
                          size_t shift, float alpha, float beta, numbers kind, size_t rows)
{
    const bool is_half = sizeof(T) == 2;
    const size_t lda = k + pad_a, ldb = n + pad_b, ldc = n + pad_c, bytes = is_half ? f.bytes(m, n, k) : 0;
    array<T> a(m * lda + shift), b(k * ldb + shift);
    array<float> c(m * ldc), before(m * ldc);
    array<unsigned char> ws(bytes);
    array<unsigned long long> count(1);
    fill(a.data + shift, m, k, lda, 1, kind);
    fill(b.data + shift, k, n, ldb, 2, kind);
    if (beta != 0.0f)
        fill(before.data, m, n, ldc, 3, SIGNED);
    OK(cudaMemsetAsync(count.data, 0, sizeof(unsigned long long), stream));
    auto call = [&] {
        const cudaError_t copied =
            cudaMemcpyAsync(c.data, before.data, m * ldc * sizeof(float), cudaMemcpyDeviceToDevice, stream);
        if (copied != cudaSuccess)
            return static_cast<int>(copied);
        return is_half ? f.half_(m, n, k, alpha, a.data + shift, lda, b.data + shift, ldb, beta, c.data, ldc, ws.data,
                                 bytes, stream)
                       : f.single(m, n, k, alpha, reinterpret_cast<const float *>(a.data + shift), lda,
                                  reinterpret_cast<const float *>(b.data + shift), ldb, beta, c.data, ldc, stream);
    };
    run_twice(call, is_half ? "hgemm" : "sgemm", m, n, k);
    if (m == 0 || n == 0)
        return;
    const size_t checked = std::min(m, rows);
    errors<<<dim3(static_cast<unsigned>((ldc + 127) / 128), static_cast<unsigned>(checked)), 128, 0, stream>>>(
        m, n, k, alpha, a.data + shift, lda, b.data + shift, ldb, beta, before.data, c.data, ldc, m / checked,
        count.data);
    OK(cudaStreamSynchronize(stream));
    unsigned long long bad;
    OK(cudaMemcpy(&bad, count.data, sizeof bad, cudaMemcpyDeviceToHost));
    expect(bad == 0, is_half ? "hgemm" : "sgemm", m, n, k, static_cast<double>(bad), 0);
}

static void line_flops(const char *name, const char *what, double flops, const duel &d)
{
    printf("  %-18s %-28s %8.1f us  %8.2f TFLOP/s  cuBLAS %8.2f TFLOP/s  fraction %.3f\n", name, what, d.mine * 1e6,
           flops / d.mine * 1e-12, flops / d.mine * 1e-12 / d.ratio, d.ratio);
    fflush(stdout);
}

#ifdef WITH_CUBLAS
static cublasHandle_t blas;
#endif

/* cuBLAS is column major: C^T = B^T A^T. */
static void blas_half(size_t m, size_t n, size_t k, const half *a, const half *b, float *c)
{
#ifdef WITH_CUBLAS
    const float alpha = 1, beta = 0;
    const int sm = static_cast<int>(m), sn = static_cast<int>(n), sk = static_cast<int>(k);
    if (cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, sn, sm, sk, &alpha, b, CUDA_R_16F, sn, a, CUDA_R_16F, sk, &beta, c,
                     CUDA_R_32F, sn, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS)
        printf("cublasGemmEx failed\n");
#else
    (void)m, (void)n, (void)k, (void)a, (void)b, (void)c;
#endif
}

static void blas_single(size_t m, size_t n, size_t k, const float *a, const float *b, float *c)
{
#ifdef WITH_CUBLAS
    const float alpha = 1, beta = 0;
    const int sm = static_cast<int>(m), sn = static_cast<int>(n), sk = static_cast<int>(k);
    if (cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, sn, sm, sk, &alpha, b, sn, a, sk, &beta, c, sn) !=
        CUBLAS_STATUS_SUCCESS)
        printf("cublasSgemm failed\n");
#else
    (void)m, (void)n, (void)k, (void)a, (void)b, (void)c;
#endif
}

static void ladder_tcgemm(const char *name, void *library)
{
    const tcgemm f = {reinterpret_cast<decltype(tcgemm::bytes)>(symbol(library, "tc_workspace_bytes")),
                      reinterpret_cast<decltype(tcgemm::half_)>(symbol(library, "tc_hgemm")),
                      reinterpret_cast<decltype(tcgemm::single)>(symbol(library, "tc_sgemm_smem"))};
    wrong = 0;
    const size_t all = 1 << 20;
    const size_t sides[] = {1, 7, 15, 16, 17, 33, 64, 100, 127, 128, 129, 255, 256};
    for (size_t m : sides)
        for (size_t n : sides)
            for (size_t k :
                 {size_t(1), size_t(8), size_t(31), size_t(32), size_t(33), size_t(96), size_t(100), size_t(1000)}) {
                if ((m + 3 * n + 5 * k) % 4) /* a quarter of them is enough */
                    continue;
                const size_t pad = (m + n + k) % 3 * 4, shift = (m + n) % 5 == 0; /* aligned or not, as it comes */
                check_product<half>(f, m, n, k, pad, pad, pad / 2, shift, 1, 0, UNIFORM, all);
                check_product<float>(f, m, n, k, pad, pad, pad / 2, shift, 1, 0, UNIFORM, all);
            }
    for (size_t pad : {0, 1, 3, 8, 16})
        for (float beta : {0.0f, 1.0f, -0.5f})
            for (size_t size : {size_t(250), size_t(512)}) {
                check_product<half>(f, size, size + 8, size / 2, pad, pad, pad, 0, 1.5f, beta, SIGNED, all);
                check_product<float>(f, size, size + 8, size / 2, pad, pad, pad, 0, 1.5f, beta, SIGNED, all);
            }
    check_product<half>(f, 128, 128, 32768, 0, 0, 0, 0, 1, 0, UNIFORM, all);
    check_product<half>(f, 130, 126, 32771, 0, 0, 1, 1, 2, 1, SIGNED, all);
    check_product<half>(f, 8192, 16, 8192, 0, 0, 0, 0, 1, 0, UNIFORM, 64);
    check_product<half>(f, 1000, 1000, 1000, 0, 0, 0, 0, 1, 0, WHOLE_NUMBERS, all);
    check_product<half>(f, 4096, 1024, 4096, 0, 0, 0, 0, 1, 0, UNIFORM, 64);
    check_product<half>(f, 2050, 2049, 2047, 0, 0, 0, 0, 1, 1, UNIFORM, 64); /* large, nothing aligned */
    check_product<half>(f, 2050, 2056, 2040, 0, 0, 0, 0, 1, 1, UNIFORM, 64); /* large, aligned, not whole */
    check_product<half>(f, 4096, 4096, 4096, 0, 0, 0, 0, 1, 0, SIGNED, 128);
    check_product<float>(f, 2048, 2048, 2048, 0, 0, 0, 0, 1, 1, SIGNED, 64);
    check_product<half>(f, 0, 5, 5, 0, 0, 0, 0, 1, 1, UNIFORM, 1);
    check_product<half>(f, 5, 5, 0, 0, 0, 0, 0, 1, 2, UNIFORM, all);
    check_product<half>(f, 5, 5, 7, 0, 0, 0, 0, 0, 0, UNIFORM, all);
    printf("  %-18s %s\n", name, wrong ? "WRONG" : "right");

    const size_t most = 8192;
    array<half> a(2 * most * most), b(2 * most * most); /* two of each, in turn */
    array<float> c(most * most);
    fill(a.data, 1, a.count, a.count, 1, SIGNED);
    fill(b.data, 1, b.count, b.count, 2, SIGNED);
    const size_t shapes[][3] = {{1024, 1024, 1024}, {1000, 1000, 1000}, {2048, 2048, 2048},
                                {4096, 1024, 4096}, {128, 128, 32768},  {8192, 16, 8192},
                                {4095, 4095, 4095}, {4096, 4096, 4096}, {8192, 8192, 8192}};
    for (auto &s : shapes) {
        const size_t m = s[0], n = s[1], k = s[2], bytes = f.bytes(m, n, k);
        const double flops = 2.0 * m * n * k;
        array<unsigned char> ws(bytes);
        char what[64];
        snprintf(what, sizeof what, "half %zux%zux%zu", m, n, k);
        const size_t turns = std::max<size_t>(1, std::min(a.count / (m * k), b.count / (k * n))); /* inputs in turn */
        auto at = [&](int i) { return static_cast<size_t>(i) % std::min<size_t>(turns, 16); };
        const duel d = compare(
            [&](int i) {
                f.half_(m, n, k, 1, a.data + at(i) * m * k, k, b.data + at(i) * k * n, n, 0, c.data, n, ws.data, bytes,
                        stream);
            },
            [&](int i) { blas_half(m, n, k, a.data + at(i) * m * k, b.data + at(i) * k * n, c.data); }, 0.02);
        OK(cudaStreamSynchronize(stream));
        line_flops(name, what, flops, d);
    }
    fill(reinterpret_cast<float *>(a.data), 1, most * most, most * most, 1, SIGNED);
    fill(reinterpret_cast<float *>(b.data), 1, most * most, most * most, 2, SIGNED);
    for (size_t s : {2048, 4096}) {
        char what[64];
        snprintf(what, sizeof what, "single %zu", s);
        const float *x = reinterpret_cast<const float *>(a.data), *y = reinterpret_cast<const float *>(b.data);
        line_flops(name, what, 2.0 * s * s * s,
                   compare([&](int) { f.single(s, s, s, 1, x, s, y, s, 0, c.data, s, stream); },
                           [&](int) { blas_single(s, s, s, x, y, c.data); }, 0.02));
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, nullptr, _IOLBF, 0);
    cudaDeviceProp properties;
    OK(cudaGetDeviceProperties(&properties, 0));
    printf("%s, sm_%d%d, %d multiprocessors, L2 %d MiB\n", properties.name, properties.major, properties.minor,
           properties.multiProcessorCount, properties.l2CacheSize >> 20);
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
#ifdef WITH_CUBLAS
    cublasCreate(&blas);
    cublasSetStream(blas, stream);
#else
    printf("built without cuBLAS: the column cuBLAS means nothing\n");
#endif
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        const size_t first = word.find(':'), second = word.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            printf("%s: expected LAB:NAME:LIBRARY\n", argv[i]);
            return 2;
        }
        const std::string lab = word.substr(0, first), name = word.substr(first + 1, second - first - 1);
        void *library = dlopen(word.substr(second + 1).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            printf("%s\n", dlerror());
            return 1;
        }
        printf("%s %s\n", lab.c_str(), name.c_str());
        lab == "redtr" ? ladder_redtr(name.c_str(), library) : ladder_tcgemm(name.c_str(), library);
    }
    OK(cudaDeviceSynchronize());
    return 0;
}
