/*
 * gpu_support.cuh - what the drivers of CUDA labs share: memory on the device with guards around it, calls on one stream
 * or two, plain, late or recorded into a graph, and numbers that the device makes itself from a seed, since 4 GiB of
 * fresh inputs do not travel over a bus in every round.
 *
 * Part of the untrusted process: what it says is hearsay. The grader makes the same numbers (grader/testing/gpu.py) and
 * judges by the values that come out.
 */
#ifndef GPU_SUPPORT_CUH
#define GPU_SUPPORT_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <memory>
#include <vector>

namespace gpu {

/* The last step of MurmurHash3 (A. Appleby, public domain): every bit of h moves every bit of the result. */
__host__ __device__ inline uint32_t mix(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

/* Number i of the row that a seed names: 32 random bits. */
__host__ __device__ inline uint32_t bits(uint32_t seed, size_t i)
{
    return mix((uint32_t)i * 0x9e3779b9u + mix(seed ^ (uint32_t)(i >> 32)));
}

/* ... as a float in [0, 1) with 24 bits, or as a half in [0, 1) with 11 bits: both exact. */
__host__ __device__ inline float unit(uint32_t bits) { return (float)(bits >> 8) * 0x1p-24f; }

__host__ __device__ inline void set(float *out, uint32_t bits) { *out = unit(bits); }
__host__ __device__ inline void set(__half *out, uint32_t bits) { *out = __float2half((float)(bits >> 21) * 0x1p-11f); }

template <class Number> __global__ static void drive_fill(Number *out, size_t n, uint32_t seed)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        set(&out[i], bits(seed, i));
}

/* New numbers at `touches` places of an array, one in each stretch of n / touches, so that no two are the same. */
enum { TOUCHES = 64 };

__host__ __device__ inline size_t place(uint32_t seed, size_t n, uint32_t j)
{
    const size_t stretch = n / TOUCHES;
    return j * stretch + bits(seed, 2 * j) % (uint32_t)stretch;
}

/* The arrays of a measurement, as a kernel gets them. */
enum { MOST_ARRAYS = 16 };
struct Arrays {
    void *at[MOST_ARRAYS];
};

/* Block k changes array k; its places follow from the number `first + k` of the seed's row. */
template <class Number> __global__ static void drive_touch(Arrays arrays, size_t n, uint32_t seed, size_t first)
{
    const uint32_t own = bits(seed, first + blockIdx.x);
    Number *out = (Number *)arrays.at[blockIdx.x];
    set(&out[place(own, n, threadIdx.x)], bits(own, 2 * threadIdx.x + 1));
}

/* Keeps the device busy for about `cycles`, so that what is queued behind it cannot have begun. */
__global__ static void drive_delay(long long cycles)
{
    const long long start = clock64();
    while (clock64() - start < cycles) {
    }
}

/*
 * Takes places on every multiprocessor, each for a time of its own of up to `cycles`: the blocks of whatever runs beside
 * it begin and end in an order that follows from the seed.
 */
__global__ static void drive_neighbour(uint32_t seed, uint32_t cycles)
{
    const long long start = clock64(), mine = bits(seed, blockIdx.x) % cycles;
    while (clock64() - start < mine) {
    }
}

/* What lies around an array in its own allocation. */
enum Around {
    GUARDS, /* 256 bytes on both sides, which are looked at afterwards */
    NOTHING /* the allocation ends with the last element, so that a tool which knows allocations sees the next access */
};

/* Device memory of `bytes` that begins `skew` bytes behind a multiple of 256. */
class Array {
public:
    Array(size_t bytes, size_t skew, int poison, Around around = GUARDS)
        : bytes_(bytes), guard_(around == GUARDS ? 256 : 0), lead_(guard_ + skew), poison_(poison)
    {
        if (lead_ + bytes_ + guard_ == 0) /* cudaMalloc would answer NULL, as if there were no memory */
            guard_ = 1;
        if (cudaMalloc(&base_, lead_ + bytes_ + guard_) != cudaSuccess)
            base_ = nullptr;
        else
            cudaMemset(base_, poison_, lead_ + bytes_ + guard_);
    }
    ~Array() { cudaFree(base_); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    bool exists() const { return base_ != nullptr; }
    size_t bytes() const { return bytes_; }
    template <typename T> T *as() const { return (T *)((char *)base_ + lead_); }
    void put(const void *from) const { cudaMemcpy(as<char>(), from, bytes_, cudaMemcpyHostToDevice); }
    void get(void *to) const { cudaMemcpy(to, as<char>(), bytes_, cudaMemcpyDeviceToHost); }

    /* Did something write outside the array? */
    bool damaged() const
    {
        std::vector<unsigned char> around(lead_ + guard_);
        cudaMemcpy(around.data(), base_, lead_, cudaMemcpyDeviceToHost);
        cudaMemcpy(around.data() + lead_, as<char>() + bytes_, guard_, cudaMemcpyDeviceToHost);
        for (unsigned char byte : around)
            if (byte != (unsigned char)poison_)
                return true;
        return false;
    }

    /* Are the contents still these? */
    bool holds(const void *wanted) const
    {
        std::vector<char> now(bytes_);
        get(now.data());
        return memcmp(now.data(), wanted, bytes_) == 0;
    }

private:
    void *base_ = nullptr;
    size_t bytes_, guard_, lead_;
    int poison_;
};

typedef std::unique_ptr<Array> ArrayPointer;

/* What a call reads: from the host, and how far behind a multiple of 256 bytes it begins on the device. */
struct Input {
    const void *data, *twin; /* for the first stream, and for the second */
    size_t bytes, skew;
};

/* One side of a scene: its arrays on the device, its stream. */
struct Scene {
    std::vector<ArrayPointer> in;
    ArrayPointer out, workspace;
    size_t ws_bytes;
    cudaStream_t stream;
};

typedef std::function<int(Scene &)> Call;

/* Make the call as `how` says on the scene's stream; the first answer that is not 0. */
template <class How, class Seen>
int make(const How *how, uint32_t calls, Scene &scene, const Call &call, Seen *seen)
{
    int status = 0;
    if (!how->graph) {
        for (uint32_t i = 0; i < calls; i++) {
            const int answer = call(scene);
            status = status ? status : answer;
        }
        return status;
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaError_t error = cudaStreamBeginCapture(scene.stream, cudaStreamCaptureModeThreadLocal);
    status = call(scene);
    const cudaError_t ended = cudaStreamEndCapture(scene.stream, &graph);
    error = error ? error : ended;
    if (!error)
        error = cudaGraphInstantiate(&executable, graph, 0);
    for (int i = 0; i < 2 && !error; i++)
        error = cudaGraphLaunch(executable, scene.stream);
    if (executable)
        cudaGraphExecDestroy(executable);
    if (graph)
        cudaGraphDestroy(graph);
    cudaGetLastError();
    seen->graph_status = (int32_t)error;
    return status;
}

/*
 * Play a scene: inputs to the device, the call on one stream or two, results and guards back. The result of a second
 * stream, which makes `twin` times as many calls and so is still busy when the first one ends, lies behind the first
 * one's in `out`. `initial`: what the output holds before; NULL: the poison.
 *
 * How and Seen are a lab's drive_how and drive_seen, which name at least the members that are used here.
 */
template <class How, class Seen>
int play(const How *how, const std::vector<Input> &inputs, size_t ws_bytes, void *out, size_t out_bytes,
         size_t out_skew, const void *initial, Seen *seen, const Call &call)
{
    const long long late_cycles = 20000000; /* about 10 ms */
    const int poison = (int)how->poison;
    const Around around = how->snug ? NOTHING : GUARDS;
    Scene scenes[2];
    const int streams = how->twin ? 2 : 1;
    memset(seen, 0, sizeof *seen);
    seen->ws_bytes = ws_bytes;
    for (int i = 0; i < streams; i++) {
        Scene &scene = scenes[i];
        bool fits = true;
        for (const Input &input : inputs) {
            scene.in.push_back(std::make_unique<Array>(input.bytes, input.skew, 0xff, around));
            fits = fits && scene.in.back()->exists();
            if (fits && input.bytes)
                scene.in.back()->put(how->delayed ? std::vector<char>(input.bytes, 0).data()
                                                  : i ? input.twin : input.data);
        }
        scene.out = std::make_unique<Array>(out_bytes, out_skew, poison, around);
        scene.workspace = std::make_unique<Array>(ws_bytes, 0, poison, around);
        scene.ws_bytes = ws_bytes;
        if (!fits || !scene.out->exists() || !scene.workspace->exists())
            return cudaErrorMemoryAllocation;
        if (initial)
            scene.out->put(initial);
        cudaStreamCreateWithFlags(&scene.stream, cudaStreamNonBlocking);
    }
    std::vector<void *> late; /* inputs that arrive only when the stream has come so far */
    for (int i = 0; how->delayed && i < streams; i++)
        for (const Input &input : inputs) {
            late.push_back(nullptr);
            cudaMalloc(&late.back(), input.bytes);
            cudaMemcpy(late.back(), i ? input.twin : input.data, input.bytes, cudaMemcpyHostToDevice);
        }
    /* A gate in front of all streams: it opens when everything is queued behind it, so that two begin together. */
    cudaStream_t gate;
    cudaEvent_t open;
    cudaStreamCreateWithFlags(&gate, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&open, cudaEventDisableTiming);
    cudaError_t error = cudaDeviceSynchronize();
    if (how->delayed)
        drive_delay<<<1, 1, 0, gate>>>(late_cycles);
    cudaEventRecord(open, gate);
    for (int i = 0; i < streams && !error; i++) {
        Scene &scene = scenes[i];
        cudaStreamWaitEvent(scene.stream, open, 0);
        for (size_t j = 0; how->delayed && j < inputs.size(); j++)
            cudaMemcpyAsync(scene.in[j]->template as<void>(), late[i * inputs.size() + j], inputs[j].bytes,
                            cudaMemcpyDeviceToDevice, scene.stream);
        const uint32_t calls = how->calls ? how->calls : 1;
        const int status = make(how, i ? calls * how->twin : calls, scene, call, seen);
        seen->status = seen->status ? seen->status : status;
    }
    const cudaError_t ended = cudaDeviceSynchronize();
    error = error ? error : ended;
    cudaEventDestroy(open);
    cudaStreamDestroy(gate);
    for (void *array : late)
        cudaFree(array);
    for (int i = 0; i < streams && !error; i++) {
        Scene &scene = scenes[i];
        if (out_bytes)
            scene.out->get((char *)out + i * out_bytes);
        seen->damaged |= scene.out->damaged() ? 1 : 0;
        seen->damaged |= scene.workspace->damaged() ? 2 : 0;
        for (size_t j = 0; j < inputs.size(); j++) {
            const void *wanted = i ? inputs[j].twin : inputs[j].data;
            const bool changed = inputs[j].bytes && !scene.in[j]->holds(wanted);
            seen->damaged |= scene.in[j]->damaged() || changed ? 4 : 0;
        }
        cudaStreamDestroy(scene.stream);
    }
    return error ? error : cudaGetLastError();
}

/* What a call may leave behind that the next one, or the other side of a duel, would feel: lines held in the L2 cache. */
inline void forget_persisting_lines(cudaStream_t stream)
{
    cudaStreamAttrValue none = {}; /* a window of 0 bytes */
    cudaStreamSetAttribute(stream, cudaStreamAttributeAccessPolicyWindow, &none);
    cudaCtxResetPersistingL2Cache();
    cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, 0);
    cudaGetLastError(); /* GPUs before Ampere have none and say so */
}

/*
 * The stream of all measurements. It is kept, since libraries make room for each new stream that they see (cuBLAS: its
 * workspace), which costs as much as many a small kernel.
 */
inline cudaStream_t measuring_stream()
{
    static cudaStream_t stream = nullptr;
    if (!stream)
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    return stream;
}

/*
 * The work of a measurement on a stream of its own, between two events: `passes` times new numbers at some places of
 * every input, and then `each(pass, k, stream)` for every input k. Ends when the device is idle; milliseconds[0] is
 * what the events say. At most MOST_ARRAYS inputs.
 */
template <class Number>
int measure(uint32_t passes, const std::vector<ArrayPointer> &inputs, uint32_t seed, float *milliseconds,
            const std::function<int(uint32_t, size_t, cudaStream_t)> &each)
{
    const size_t count = inputs.size();
    Arrays arrays = {};
    for (size_t k = 0; k < count && k < MOST_ARRAYS; k++)
        arrays.at[k] = inputs[k]->template as<void>();
    cudaStream_t stream = measuring_stream();
    cudaEvent_t begin, end;
    forget_persisting_lines(stream);
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    cudaEventRecord(begin, stream);
    int status = 0;
    for (uint32_t pass = 0; pass < passes; pass++) {
        drive_touch<Number><<<(unsigned)count, TOUCHES, 0, stream>>>(arrays, inputs[0]->bytes() / sizeof(Number), seed,
                                                                     pass * count);
        for (size_t k = 0; k < count && !status; k++)
            status = each(pass, k, stream);
    }
    cudaEventRecord(end, stream);
    const cudaError_t error = cudaDeviceSynchronize();
    cudaEventElapsedTime(milliseconds, begin, end);
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    forget_persisting_lines(stream);
    return status ? status : error;
}

/*
 * `again(i, stream)` for every i below `times`, each beside a neighbour that makes its blocks end in another order.
 * The first answer that is not 0.
 */
inline int repeat(uint32_t times, uint32_t seed, const std::function<int(uint32_t, cudaStream_t)> &again)
{
    const unsigned threads = 256;
    int device = 0, processors = 1, resident = 2048;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    cudaDeviceGetAttribute(&resident, cudaDevAttrMaxThreadsPerMultiProcessor, device);
    const unsigned blocks = (unsigned)processors * (unsigned)(resident / (int)threads); /* all places, at first */
    cudaStream_t stream, beside;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking);
    int status = 0;
    for (uint32_t i = 0; i < times && !status; i++) {
        if (i) /* the first one has the GPU to itself */
            drive_neighbour<<<blocks, threads, 0, beside>>>(bits(seed, i), 100000u << (i % 3));
        status = again(i, stream);
        const cudaError_t error = cudaDeviceSynchronize();
        status = status ? status : (int)error;
    }
    cudaStreamDestroy(stream);
    cudaStreamDestroy(beside);
    return status;
}

/* Keep `count` arrays of `bytes` in `arrays`, made anew only where their number or size changes. */
inline bool keep(std::vector<ArrayPointer> &arrays, size_t count, size_t bytes)
{
    if (arrays.size() != count || (count && arrays[0]->bytes() != bytes)) {
        arrays.clear();
        for (size_t k = 0; k < count; k++)
            arrays.push_back(std::make_unique<Array>(bytes, 0, 0xff));
    }
    for (const ArrayPointer &array : arrays)
        if (!array->exists())
            return false;
    return true;
}

/* out[j] = element where[j] of array which[j], for elements of 4 bytes. */
__global__ static void drive_pick(size_t places, const uint32_t *const *arrays, const uint32_t *which,
                                  const uint64_t *where, uint32_t *out)
{
    const size_t j = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (j < places)
        out[j] = arrays[which[j]][where[j]];
}

/* Memory that is kept between calls, since cudaMalloc takes as long as a kernel: at least `bytes`, whatever it held. */
inline Array *reserved(int which, size_t bytes)
{
    static ArrayPointer kept[8];
    if (!kept[which] || kept[which]->bytes() < bytes)
        kept[which] = std::make_unique<Array>(bytes, 0, 0xff);
    return kept[which].get();
}

enum { WORKSPACE, RESULTS, TABLE, WHICH, WHERE, PICKED }; /* what the reserved memory is for */

inline void reserve_for_sample(size_t places)
{
    reserved(TABLE, MOST_ARRAYS * sizeof(uint32_t *));
    reserved(WHICH, places * sizeof(uint32_t));
    reserved(WHERE, places * sizeof(uint64_t));
    reserved(PICKED, places * sizeof(uint32_t));
}

inline int sample(const std::vector<ArrayPointer> &arrays, size_t places, const uint32_t *which, const uint64_t *where,
                  uint32_t *out)
{
    uint32_t *pointers[MOST_ARRAYS] = {};
    for (size_t k = 0; k < arrays.size() && k < MOST_ARRAYS; k++)
        pointers[k] = arrays[k]->as<uint32_t>();
    reserve_for_sample(places);
    uint32_t *const picked = reserved(PICKED, 0)->as<uint32_t>(), *const w = reserved(WHICH, 0)->as<uint32_t>();
    uint64_t *const p = reserved(WHERE, 0)->as<uint64_t>();
    const uint32_t *const *const table = reserved(TABLE, 0)->as<const uint32_t *const>();
    cudaMemcpy((void *)table, pointers, sizeof pointers, cudaMemcpyHostToDevice);
    cudaMemcpy(w, which, places * sizeof *w, cudaMemcpyHostToDevice);
    cudaMemcpy(p, where, places * sizeof *p, cudaMemcpyHostToDevice);
    drive_pick<<<(unsigned)((places + 255) / 256), 256>>>(places, table, w, p, picked);
    cudaMemcpy(out, picked, places * sizeof *out, cudaMemcpyDeviceToHost);
    return cudaGetLastError();
}

}  // namespace gpu

#endif
