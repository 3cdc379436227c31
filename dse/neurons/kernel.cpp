// Affine map, neurons over T steps, and 2x2 max-pool, in one pass over a layer's currents; and the
// same backwards, with the potentials made again instead of kept.
//
// Compiled once for each instruction set (hatch_build.py), loaded by dse/neurons/kernel.py. No
// product and sum is contracted but in the affine map, where PyTorch's batch-norm does so as well:
// so the spikes are those of the element-wise operators, bit for bit.
//
// Memory: currents (S, B, H, W, C), S = 1 (the same at every step) or T; outputs (T, B, H', W', C).
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace {

constexpr int LONGEST = 64;  // time steps

enum Output { SPIKE, SIGN, RELU, SAME };
enum Slope { ARCTAN, SIGMOID, S2NN, RECTANGULAR, TRIANGULAR, PIECEWISE, POSITIVE, ONE };

struct Task {
    int64_t steps, current_steps, samples, height, width, channels;
    int32_t pool, output, is_hard, is_detached, slope, learns, threads, dtype;
    double slope_0, slope_1, slope_2;
    double threshold, leak, gain, initial;
    const void *currents;
    const float *scale, *shift;  // of the dtype of computing: double for double
    void *outputs;
    double *spikes;  // their number
    const void *grad_outputs;
    double grad_spikes;
    void *grad_currents;
    double *sums;        // (2, C): of the gradient behind the affine map, and of it times current
    double *parameters;  // gradients of threshold, leak, gain, initial
};

// ---- a register of numbers at a time

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

typedef float Floats __attribute__((vector_size(BYTES)));
typedef int32_t Ints __attribute__((vector_size(BYTES)));
typedef double Doubles __attribute__((vector_size(BYTES)));
typedef int64_t Longs __attribute__((vector_size(BYTES)));
typedef uint16_t Halves __attribute__((vector_size(BYTES / 2)));
typedef uint32_t Words __attribute__((vector_size(BYTES)));

struct Single {
    typedef float Real;
    typedef float Stored;
    typedef Floats Vector;
    typedef Ints Mask;
    static constexpr int LANES = BYTES / 4;
    static INLINE Vector whole(const Stored *p) {
        Vector v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    static INLINE void keep(Stored *p, Vector v) { memcpy(p, &v, sizeof v); }
    static INLINE Vector fma(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__)
        return (Vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
        return (Vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
        return a * b + c;
#endif
    }
    static INLINE Vector exponential(Vector x) {  // for x <= 0
        x = x < -87.0f ? Vector{} - 87.0f : x;
        const Vector shifted = x * 1.44269504088896341f + 12582912.0f, n = shifted - 12582912.0f;
        const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
        Vector p = r * (1.0f / 5040) + 1.0f / 720;
        p = p * r + 1.0f / 120;
        p = p * r + 1.0f / 24;
        p = p * r + 1.0f / 6;
        p = p * r + 0.5f;
        p = p * r + 1.0f;
        p = p * r + 1.0f;
        return (Vector)((Mask)p + ((Mask)shifted << 23));
    }
};

struct Twice {
    typedef double Real;
    typedef double Stored;
    typedef Doubles Vector;
    typedef Longs Mask;
    static constexpr int LANES = BYTES / 8;
    static INLINE Vector whole(const Stored *p) {
        Vector v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    static INLINE void keep(Stored *p, Vector v) { memcpy(p, &v, sizeof v); }
    static INLINE Vector fma(Vector a, Vector b, Vector c) {
        for (int i = 0; i < LANES; i++) c[i] = std::fma(a[i], b[i], c[i]);
        return c;
    }
    static INLINE Vector exponential(Vector x) {
        for (int i = 0; i < LANES; i++) x[i] = std::exp(x[i]);
        return x;
    }
};

struct Brain : Single {  // stored as bfloat16, computed as float
    typedef uint16_t Stored;
    static INLINE Vector whole(const Stored *p) {
        Halves h;
        memcpy(&h, p, sizeof h);
        return (Vector)(__builtin_convertvector(h, Words) << 16);
    }
    static INLINE void keep(Stored *p, Vector v) {
        const Words bits = (Words)v;
        const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        const Words quiet = (bits >> 16) | 0x40u;  // a NaN stays one
        const Halves h = __builtin_convertvector(v == v ? rounded : quiet, Halves);
        memcpy(p, &h, sizeof h);
    }
};

template <class K> INLINE typename K::Vector fill(typename K::Real x) {
    return typename K::Vector{} + x;
}

// n of the lanes; the others are 0 when read and left alone when written
template <class K> INLINE typename K::Vector load(const typename K::Stored *p, int n) {
    if (n == K::LANES) return K::whole(p);
    typename K::Stored some[K::LANES] = {};
    memcpy(some, p, n * sizeof *p);
    return K::whole(some);
}

template <class K> INLINE void store(typename K::Stored *p, typename K::Vector v, int n) {
    if (n == K::LANES) {
        K::keep(p, v);
        return;
    }
    typename K::Stored some[K::LANES];
    K::keep(some, v);
    memcpy(p, some, n * sizeof *p);
}

template <class K> INLINE double total(typename K::Vector v, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    return sum;
}

// ---- one layer, seen from a block of channels

template <class K> struct Block {
    typedef typename K::Vector V;
    typedef typename K::Mask M;
    typedef typename K::Stored Stored;
    typedef typename K::Real Real;
    const Task &task;
    int n;          // channels of it
    int64_t stride, out_stride;  // from step to step; stride 0: the same currents at all
    bool has_affine;
    V scale, shift;
    Real threshold, leak, gain, initial;

    INLINE explicit Block(const Task &task) : task(task) {
        const int64_t places = task.samples * task.height * task.width;
        stride = task.current_steps == 1 ? 0 : places * task.channels;
        out_stride = task.samples * (task.height / task.pool) * (task.width / task.pool)
                     * task.channels;
        has_affine = task.scale != nullptr;
        threshold = (Real)task.threshold;
        leak = (Real)task.leak;
        gain = (Real)task.gain;
        initial = (Real)task.initial;
    }

    // the channels from this one on
    INLINE void at(int64_t channel) {
        const int64_t left = task.channels - channel;
        n = left < K::LANES ? (int)left : K::LANES;
        if (!has_affine) return;
        Real some[2][K::LANES] = {};
        const Real *from[2] = {(const Real *)task.scale + channel,
                               (const Real *)task.shift + channel};
        if (n == K::LANES) {
            memcpy(&scale, from[0], sizeof scale);
            memcpy(&shift, from[1], sizeof shift);
            return;
        }
        for (int i = 0; i < 2; i++) memcpy(some[i], from[i], n * sizeof(Real));
        memcpy(&scale, some[0], sizeof scale);
        memcpy(&shift, some[1], sizeof shift);
    }

    INLINE V current(V raw) const { return has_affine ? K::fma(raw, scale, shift) : raw; }

    INLINE V reset(V u, M fired) const {
        if (task.is_hard) return fired ? V{} : u;
        return fired ? u - threshold : u;
    }

    INLINE V output(V u, M fired) const {
        switch (task.output) {
        case SPIKE: return fired ? fill<K>(1) : V{};
        case SIGN: return fired ? fill<K>(1) : fill<K>(-1);
        case RELU: return u <= (Real)0 ? V{} : u;  // a NaN stays one
        default: return u;
        }
    }

    // the slopes of T potentials less threshold, in place
    template <int T> INLINE void slopes(V *x, int steps) const {
        const int count = T ? T : steps;
        const Real a = (Real)task.slope_0, b = (Real)task.slope_1, c = (Real)task.slope_2;
        switch (task.slope) {
        case ARCTAN:
            for (int t = 0; t < count; t++) {
                const V y = x[t] * (Real)(M_PI * task.slope_0 / 2);
                x[t] = (a / 2) / (y * y + (Real)1);
            }
            return;
        case SIGMOID:
            for (int t = 0; t < count; t++) x[t] = logistic(x[t], a);
            return;
        case S2NN:
            for (int t = 0; t < count; t++) {
                const V above = b / ((x[t] < (Real)0 ? V{} : x[t]) + c);
                x[t] = x[t] < (Real)0 ? logistic(x[t], a) : above;
            }
            return;
        case RECTANGULAR:
            for (int t = 0; t < count; t++) x[t] = size(x[t]) <= a / 2 ? fill<K>(b) : V{};
            return;
        case TRIANGULAR:
            for (int t = 0; t < count; t++) {
                const V y = (Real)1 - size(x[t]) / a;
                x[t] = b * (y > (Real)0 ? y : V{});
            }
            return;
        case PIECEWISE:
            for (int t = 0; t < count; t++)
                x[t] = size(x[t]) <= a / 2 ? fill<K>(b) : fill<K>(c);
            return;
        case POSITIVE:
            for (int t = 0; t < count; t++) x[t] = x[t] > (Real)0 ? fill<K>(1) : V{};
            return;
        default:
            for (int t = 0; t < count; t++) x[t] = fill<K>(1);
        }
    }

    static INLINE V size(V x) { return x < (Real)0 ? -x : x; }

    static INLINE V logistic(V x, Real alpha) {
        const V e = K::exponential(size(x) * -alpha);
        return alpha * e / ((e + (Real)1) * (e + (Real)1));
    }

    // P places of a window, whose outputs become one; without `out` nothing is read of them
    template <int T, int P> INLINE void forward(const Stored *const *x, Stored *out, V &spikes) {
        const int steps = T ? T : (int)task.steps;
        V pooled[T ? T : LONGEST];
        for (int p = 0; p < P; p++) {
            V v = fill<K>(initial), y = current(load<K>(x[p], n));
            for (int t = 0; t < steps; t++) {
                if (t && stride) y = current(load<K>(x[p] + t * stride, n));
                const V u = v * leak + y * gain;
                const M fired = u >= threshold;
                v = reset(u, fired);
                spikes += fired ? fill<K>(1) : V{};
                const V made = output(u, fired);
                pooled[t] = p && P > 1 ? (((made > pooled[t]) | (made != made)) ? made : pooled[t]) : made;
            }
        }
        if (out)
            for (int t = 0; t < steps; t++) store<K>(out + t * out_stride, pooled[t], n);
    }

    struct Sums {
        V gradient = {}, product = {}, threshold = {}, leak = {}, gain = {}, initial = {};
    };

    template <int T, int P, bool LEARNS>
    INLINE void backward(const Stored *const *x, const Stored *out, const Stored *grad_out,
                         Stored *const *grad_x, Sums &all_sums) {
        Sums sums;  // in registers; those of the row are in memory
        const int steps = T ? T : (int)task.steps;
        constexpr int ROOM = T ? T : LONGEST;
        V raw[ROOM], potentials[ROOM], before[LEARNS ? ROOM : 1], currents[LEARNS ? ROOM : 1], slope[ROOM];
        V value[P > 1 ? ROOM : 1], arriving[ROOM];
        const bool is_bit = task.output == SPIKE || task.output == SIGN;
        for (int t = 0; t < steps; t++) {
            arriving[t] = out ? load<K>(grad_out + t * out_stride, n) : V{};
            if (P > 1) value[t] = load<K>(out + t * out_stride, n);
        }
        for (int p = 0; p < P; p++) {
            for (int t = 0; t < (stride ? steps : 1); t++) {
                const int64_t next = (P > 1 ? 2 : 1) * task.channels + t * stride;
                __builtin_prefetch(x[p] + next);
                __builtin_prefetch(grad_x[p] + next, 1);
            }
            // kept, since a load that follows a store 4096 bytes apart waits for it
            raw[0] = load<K>(x[p], n);
            V v = fill<K>(initial), y = current(raw[0]);
            for (int t = 0; t < steps; t++) {
                if (t && stride) {
                    raw[t] = load<K>(x[p] + t * stride, n);
                    y = current(raw[t]);
                }
                const V u = v * leak + y * gain;
                if (LEARNS) {
                    before[t] = v;
                    currents[t] = y;
                }
                potentials[t] = u;
                v = reset(u, u >= threshold);
                slope[t] = u - threshold;
            }
            slopes<T>(slope, steps);
            V later = {}, all = {};
            for (int t = steps - 1; t >= 0; t--) {
                const V u = potentials[t];
                const M fired = u >= threshold;
                V grad = arriving[t];
                if (P > 1) {
                    // the first place of the largest output takes it all; of bits that is the first
                    // that fires, and place 0 if none does
                    M is_owner = fired;
                    if (!is_bit) is_owner = output(u, fired) == value[t];
                    else if (p == 0) is_owner |= value[t] <= (Real)0;
                    grad = is_owner ? grad : V{};
                    arriving[t] = is_owner ? V{} : arriving[t];
                }
                grad += (Real)task.grad_spikes;
                const V through = task.is_hard ? (fired ? V{} : later) : later;
                if (!task.is_detached) grad -= (task.is_hard ? u : fill<K>(threshold)) * later;
                const V change = slope[t] * grad;
                const V inner = through + change;
                if (LEARNS) {
                    if (!task.is_hard) sums.threshold -= fired ? later : V{};
                    sums.threshold -= change;
                    sums.leak += inner * before[t];
                    sums.gain += inner * currents[t];
                    if (t == 0) sums.initial += inner * leak;
                }
                later = inner * leak;
                const V made = inner * gain;
                if (stride) {
                    sums.gradient += made;
                    sums.product += made * raw[t];
                    store<K>(grad_x[p] + t * stride, made, n);
                } else {
                    all += made;
                }
            }
            if (!stride) {
                sums.gradient += all;
                sums.product += all * raw[0];
                store<K>(grad_x[p], all, n);
            }
        }
        all_sums.gradient += sums.gradient;
        all_sums.product += sums.product;
        if (LEARNS) {
            all_sums.threshold += sums.threshold;
            all_sums.leak += sums.leak;
            all_sums.gain += sums.gain;
            all_sums.initial += sums.initial;
        }
    }
};

// ---- all windows of a row of windows

// Sums of a row are single, those over the rows double. `scratch` holds the former, block by block.
template <class K, int T, int P, bool LEARNS, bool BACKWARD>
void row(const Task &task, int64_t unit, double *partial, void *scratch) {
    typedef Block<K> B;
    typedef typename K::Stored Stored;
    typedef typename B::Sums Sums;
    const int64_t C = task.channels, W = task.width, pool = task.pool;
    const int64_t rows = (task.height + pool - 1) / pool, wide = W / pool;
    const int64_t blocks = (C + K::LANES - 1) / K::LANES;
    const int64_t sample = unit / rows, high = unit % rows;
    const bool is_cut = (high + 1) * pool > task.height;  // a last row that no window holds
    const int64_t top = (sample * task.height + high * pool) * W;
    const int64_t out_top = (sample * (task.height / pool) + high) * wide;
    const Stored *x = (const Stored *)task.currents, *go = (const Stored *)task.grad_outputs;
    Stored *out = (Stored *)task.outputs, *gx = (Stored *)task.grad_currents;
    Sums *sums = (Sums *)scratch;
    B block(task);
    if (BACKWARD)
        for (int64_t i = 0; i < blocks; i++) sums[i] = Sums();
    typename K::Vector spikes = {}, spikes_of_rest = {};

    // one place alone; with pooling it is one that no window holds
    const auto one = [&](int64_t place) __attribute__((always_inline)) {
        for (int64_t i = 0, at = place * C; i < blocks; i++, at += K::LANES) {
            block.at(i * K::LANES);
            const Stored *from[1] = {x + at};
            if (BACKWARD) {
                Stored *to[1] = {gx + at};
                block.template backward<T, 1, LEARNS>(
                    from, P == 1 ? out + at : nullptr, P == 1 ? go + at : nullptr, to, sums[i]);
            } else {
                typename K::Vector &count = block.n < K::LANES ? spikes_of_rest : spikes;
                block.template forward<T, 1>(from, P == 1 ? out + at : nullptr, count);
            }
        }
    };

    if (P == 1 || is_cut) {
        for (int64_t w = 0; w < W; w++) one(top + w);
    } else {
        for (int64_t w = 0; w < wide; w++) {
            int64_t at = (out_top + w) * C;
            const int64_t place = (top + 2 * w) * C;
            const int64_t places[4] = {place, place + C, place + W * C, place + (W + 1) * C};
            for (int64_t i = 0; i < blocks; i++, at += K::LANES) {
                block.at(i * K::LANES);
                const Stored *from[4];
                for (int p = 0; p < 4; p++) from[p] = x + places[p] + i * K::LANES;
                if (BACKWARD) {
                    Stored *to[4];
                    for (int p = 0; p < 4; p++) to[p] = gx + places[p] + i * K::LANES;
                    block.template backward<T, 4, LEARNS>(from, out + at, go + at, to, sums[i]);
                } else {
                    typename K::Vector &count = block.n < K::LANES ? spikes_of_rest : spikes;
                    block.template forward<T, 4>(from, out + at, count);
                }
            }
        }
        if (W % 2) {
            one(top + W - 1);
            one(top + 2 * W - 1);
        }
    }
    if (!BACKWARD) {
        const int rest = (int)(C - (blocks - 1) * K::LANES);
        partial[0] += total<K>(spikes, K::LANES);
        if (rest < K::LANES) partial[0] += total<K>(spikes_of_rest, rest);
        return;
    }
    for (int64_t i = 0; i < blocks; i++) {
        block.at(i * K::LANES);
        for (int lane = 0; lane < block.n; lane++) {
            partial[5 + i * K::LANES + lane] += sums[i].gradient[lane];
            partial[5 + C + i * K::LANES + lane] += sums[i].product[lane];
        }
        if (LEARNS) {
            partial[1] += total<K>(sums[i].threshold, block.n);
            partial[2] += total<K>(sums[i].leak, block.n);
            partial[3] += total<K>(sums[i].gain, block.n);
            partial[4] += total<K>(sums[i].initial, block.n);
        }
    }
}

typedef void (*Row)(const Task &, int64_t, double *, void *);

// the usual numbers of steps are constants of loops of their own
template <class K, int P, bool LEARNS, bool BACKWARD> Row by_steps(int64_t steps) {
    if constexpr (sizeof(typename K::Real) == 4 && !LEARNS) switch (steps) {
        case 1: return row<K, 1, P, LEARNS, BACKWARD>;
        case 2: return row<K, 2, P, LEARNS, BACKWARD>;
        case 4: return row<K, 4, P, LEARNS, BACKWARD>;
        case 8: return row<K, 8, P, LEARNS, BACKWARD>;
        }
    return row<K, 0, P, LEARNS, BACKWARD>;
}

template <class K> Row chosen(const Task &task, bool is_backward) {
    const bool pools = task.pool == 2;
    if (!is_backward)
        return pools ? by_steps<K, 4, false, false>(task.steps)
                     : by_steps<K, 1, false, false>(task.steps);
    if (task.learns)
        return pools ? by_steps<K, 4, true, true>(task.steps)
                     : by_steps<K, 1, true, true>(task.steps);
    return pools ? by_steps<K, 4, false, true>(task.steps)
                 : by_steps<K, 1, false, true>(task.steps);
}

// the rows on some threads; partial sums of a thread are added in the order of the threads
int run(const Task &task, bool is_backward) {
    if (task.steps < 1 || task.steps > LONGEST || (task.pool != 1 && task.pool != 2)) return 1;
    const Row each = task.dtype == 0   ? chosen<Single>(task, is_backward)
                     : task.dtype == 1 ? chosen<Twice>(task, is_backward)
                                       : chosen<Brain>(task, is_backward);
    const int64_t units = task.samples * ((task.height + task.pool - 1) / task.pool);
    const int64_t room = 5 + 2 * task.channels + 8;  // eight doubles apart: no shared line
    int threads = task.threads > 1 ? task.threads : 1;
    double *partial = (double *)calloc(threads * room, sizeof(double));
    // of six vectors for each block of channels; a lane is never wider than a channel's double
    const size_t size = (task.channels * sizeof(double) + 2 * BYTES) * 6 / BYTES * BYTES;
    char *scratch = (char *)aligned_alloc(BYTES, threads * size);
    if (!partial || !scratch) {
        free(partial);
        free(scratch);
        return 2;
    }
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            const int me = omp_get_thread_num(), all = omp_get_num_threads();
            for (int64_t unit = units * me / all; unit < units * (me + 1) / all; unit++)
                each(task, unit, partial + me * room, scratch + me * size);
        }
    } else
#endif
        for (int64_t unit = 0; unit < units; unit++) each(task, unit, partial, scratch);
    for (int thread = 0; thread < threads; thread++) {
        const double *mine = partial + thread * room;
        if (!is_backward) {
            *task.spikes += mine[0];
            continue;
        }
        for (int i = 0; i < 4; i++) task.parameters[i] += mine[1 + i];
        for (int64_t c = 0; c < 2 * task.channels; c++) task.sums[c] += mine[5 + c];
    }
    free(partial);
    free(scratch);
    return 0;
}

// sums and sums of squares of rows of C numbers: single ones along a run, double ones over the runs
template <class K>
void moments(const typename K::Stored *x, int64_t first, int64_t last, int64_t C, double *sums) {
    typedef typename K::Vector V;
    constexpr int64_t RUN = 16;
    for (int64_t begin = first; begin < last; begin += RUN) {
        const int64_t end = begin + RUN < last ? begin + RUN : last;
        for (int64_t c = 0; c < C; c += K::LANES) {
            const int n = C - c < K::LANES ? (int)(C - c) : K::LANES;
            V sum = {}, square = {};
            for (int64_t r = begin; r < end; r++) {
                const V v = load<K>(x + r * C + c, n);
                sum += v;
                square += v * v;
            }
            for (int i = 0; i < n; i++) {
                sums[c + i] += sum[i];
                sums[C + c + i] += square[i];
            }
        }
    }
}

// gradient <- a gradient + b x + c, by channel
template <class K>
void combine(typename K::Stored *grad, const typename K::Stored *x, const typename K::Real *abc,
             int64_t first, int64_t last, int64_t C) {
    typedef typename K::Vector V;
    for (int64_t c = 0; c < C; c += K::LANES) {
        const int n = C - c < K::LANES ? (int)(C - c) : K::LANES;
        typename K::Real some[3][K::LANES] = {};
        V k[3];
        for (int i = 0; i < 3; i++) {
            memcpy(some[i], abc + i * C + c, n * sizeof some[0][0]);
            memcpy(&k[i], some[i], sizeof k[i]);
        }
        for (int64_t r = first; r < last; r++) {
            const int64_t at = r * C + c;
            const V g = load<K>(grad + at, n), v = load<K>(x + at, n);
            store<K>(grad + at, k[0] * g + (k[1] * v + k[2]), n);
        }
    }
}

template <class Body> void shared(int64_t rows, int threads, const Body &body) {
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            const int me = omp_get_thread_num(), all = omp_get_num_threads();
            body(me, rows * me / all, rows * (me + 1) / all);
        }
        return;
    }
#endif
    body(0, (int64_t)0, rows);
}

}  // namespace

extern "C" {

int dse_neurons_version() { return 1; }

int dse_neurons_forward(const Task *task) { return run(*task, false); }

int dse_neurons_backward(const Task *task) { return run(*task, true); }

// sums: (2, C), added to
int dse_neurons_moments(int dtype, const void *x, int64_t rows, int64_t C, double *sums,
                        int threads) {
    if (threads < 1) threads = 1;
    const int64_t room = 2 * C + 8;
    double *partial = (double *)calloc(threads * room, sizeof(double));
    if (!partial) return 2;
    shared(rows, threads, [&](int me, int64_t first, int64_t last) {
        double *mine = partial + me * room;
        if (dtype == 0) moments<Single>((const float *)x, first, last, C, mine);
        else if (dtype == 1) moments<Twice>((const double *)x, first, last, C, mine);
        else moments<Brain>((const uint16_t *)x, first, last, C, mine);
    });
    for (int thread = 0; thread < threads; thread++)
        for (int64_t c = 0; c < 2 * C; c++) sums[c] += partial[thread * room + c];
    free(partial);
    return 0;
}

// abc: (3, C) in the dtype of computing
int dse_neurons_combine(int dtype, void *grad, const void *x, const void *abc, int64_t rows,
                        int64_t C, int threads) {
    shared(rows, threads, [&](int, int64_t first, int64_t last) {
        if (dtype == 0)
            combine<Single>((float *)grad, (const float *)x, (const float *)abc, first, last, C);
        else if (dtype == 1)
            combine<Twice>((double *)grad, (const double *)x, (const double *)abc, first, last, C);
        else
            combine<Brain>((uint16_t *)grad, (const uint16_t *)x, (const float *)abc, first, last,
                           C);
    });
    return 0;
}
}
