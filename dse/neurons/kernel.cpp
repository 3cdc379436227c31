// Affine map, neurons over T steps, and 2x2 max-pool, in one pass over a layer's currents; and the
// same backwards, with the potentials made again instead of kept.
//
// Compiled once for each instruction set (hatch_build.py), loaded by dse/neurons/kernel.py. No
// product and sum is contracted but in the affine map, where PyTorch's batch-norm does so as well:
// so the spikes are those of the element-wise operators, bit for bit.
//
// Memory: currents (S, B, H, W, C), S = 1 (the same at every step) or T; outputs (T, B, H', W', C).
#include <cstdlib>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "block.h"

namespace {

// Sums of a row are single, those over the rows double.
template <class K, bool LEARNS>
__attribute__((noinline)) void add(const Task &task, const Sums<K> *sums, double *partial) {
    const int64_t C = task.channels;
    for (int64_t c = 0; c < C; c += K::LANES) {
        const Sums<K> &mine = sums[c / K::LANES];
        const int n = C - c < K::LANES ? (int)(C - c) : K::LANES;
        for (int lane = 0; lane < n; lane++) {
            partial[5 + c + lane] += mine.gradient[lane];
            partial[5 + C + c + lane] += mine.product[lane];
        }
        if (LEARNS) {
            partial[1] += total<K>(mine.threshold, n);
            partial[2] += total<K>(mine.leak, n);
            partial[3] += total<K>(mine.gain, n);
            partial[4] += total<K>(mine.initial, n);
        }
    }
}

// Where a row is, in places of the currents and of the outputs.
struct Place {
    int64_t top, out_top, windows;
    bool is_cut;  // a last row that no window holds
    Place(const Task &task, int64_t unit) {
        const int64_t pool = task.pool, rows = (task.height + pool - 1) / pool;
        const int64_t sample = unit / rows, high = unit % rows;
        is_cut = (high + 1) * pool > task.height;
        windows = is_cut ? 0 : task.width / pool;
        top = (sample * task.height + high * pool) * task.width;
        out_top = (sample * (task.height / pool) + high) * (task.width / pool);
    }
};

// P places in one go; `at` is theirs in the outputs, -1 if no window holds them
template <int P, bool LEARNS, bool BACKWARD, class K, int T, bool IS_SPIKE>
INLINE void window(Block<K, T, IS_SPIKE> &block, const Task &task, const int64_t *of, int64_t at,
                   int64_t i, Sums<K> *sums, typename K::Vector &spikes) {
    typedef typename K::Stored Stored;
    const int64_t C = task.channels, channel = i * K::LANES;
    block.at(channel);
    const Stored *from[P];
    Stored *to[P];
    for (int p = 0; p < P; p++) {
        from[p] = (const Stored *)task.currents + of[p] * C + channel;
        if (BACKWARD) to[p] = (Stored *)task.grad_currents + of[p] * C + channel;
    }
    Stored *made = at < 0 ? nullptr : (Stored *)task.outputs + at * C + channel;
    if constexpr (BACKWARD) {
        const Stored *arrived = (const Stored *)task.grad_outputs;
        block.template backward<P, LEARNS>(
            from, made, at < 0 ? nullptr : arrived + at * C + channel, to, sums[i]);
    } else {
        block.template forward<P>(from, made, spikes);
    }
}

// the windows of a row: blocks of channels from first to last; n, if not all lanes
template <class K, int T, bool IS_SPIKE, int P, bool LEARNS, bool BACKWARD>
__attribute__((noinline)) void windows(const Task &task, int64_t unit, int64_t first, int64_t last,
                                       int n, Sums<K> *sums, double *fired) {
    const Place row(task, unit);
    const int64_t W = task.width;
    Block<K, T, IS_SPIKE> block(task, T ? 0 : n);
    typename K::Vector spikes = {};
    for (int64_t w = 0; w < row.windows; w++)
        for (int64_t i = first; i < last; i++) {
            const int64_t at = row.top + (P > 1 ? 2 : 1) * w;
            const int64_t of[4] = {at, at + 1, at + W, at + W + 1};
            window<P, LEARNS, BACKWARD>(block, task, of, row.out_top + w, i, sums, spikes);
        }
    *fired += total<K>(spikes, n ? n : K::LANES);
}

// what no window of a row holds
template <class K, bool LEARNS, bool BACKWARD>
__attribute__((noinline)) void leftovers(const Task &task, int64_t unit, int64_t i, int n,
                                         Sums<K> *sums, double *fired) {
    const Place row(task, unit);
    Block<K, 0, false> block(task, n);
    typename K::Vector spikes = {};
    for (int64_t line = 0; line < (row.is_cut ? 1 : task.pool); line++)
        for (int64_t w = row.windows * task.pool; w < task.width; w++) {
            const int64_t place = row.top + line * task.width + w;
            window<1, LEARNS, BACKWARD>(block, task, &place, -1, i, sums, spikes);
        }
    *fired += total<K>(spikes, n ? n : K::LANES);
}

// `scratch` holds the sums, block by block
template <class K, int T, bool IS_SPIKE, int P, bool LEARNS, bool BACKWARD>
void row(const Task &task, int64_t unit, double *partial, void *scratch) {
    const int64_t C = task.channels, blocks = C / K::LANES;  // of all lanes
    const int rest = (int)(C % K::LANES);
    Sums<K> *sums = (Sums<K> *)scratch;
    if (BACKWARD)
        for (int64_t i = 0; i < blocks + (rest > 0); i++) sums[i] = Sums<K>();
    if (blocks)
        windows<K, T, IS_SPIKE, P, LEARNS, BACKWARD>(task, unit, 0, blocks, 0, sums, partial);
    if (rest)
        windows<K, 0, false, P, LEARNS, BACKWARD>(task, unit, blocks, blocks + 1, rest, sums,
                                                  partial);
    if (P > 1)
        for (int64_t i = 0; i < blocks + (rest > 0); i++)
            leftovers<K, LEARNS, BACKWARD>(task, unit, i, i < blocks ? 0 : rest, sums, partial);
    if (BACKWARD) add<K, LEARNS>(task, sums, partial);
}

typedef void (*Row)(const Task &, int64_t, double *, void *);

// the usual numbers of steps are constants of loops of their own
template <class K, int P, bool LEARNS, bool BACKWARD> Row by_steps(const Task &task) {
    if constexpr (sizeof(typename K::Real) == 4 && !LEARNS) {
        const bool is_usual = task.output == SPIKE;
        if (task.steps == 1) return row<K, 1, false, P, LEARNS, BACKWARD>;
        if (is_usual && task.steps == 2) return row<K, 2, true, P, LEARNS, BACKWARD>;
        if (is_usual && task.steps == 4) return row<K, 4, true, P, LEARNS, BACKWARD>;
        if (is_usual && task.steps == 8) return row<K, 8, true, P, LEARNS, BACKWARD>;
    }
    return row<K, 0, false, P, LEARNS, BACKWARD>;
}

template <class K> Row chosen(const Task &task, bool is_backward) {
    const bool pools = task.pool == 2;
    if (!is_backward)
        return pools ? by_steps<K, 4, false, false>(task) : by_steps<K, 1, false, false>(task);
    if (task.learns)
        return pools ? by_steps<K, 4, true, true>(task) : by_steps<K, 1, true, true>(task);
    return pools ? by_steps<K, 4, false, true>(task) : by_steps<K, 1, false, true>(task);
}

// the rows on some threads; partial sums of a thread are added in the order of the threads
int run(const Task &task, bool is_backward) {
    if (task.steps < 1 || task.steps > LONGEST || (task.pool != 1 && task.pool != 2)) return 1;
    if (task.slope < ARCTAN || task.slope > ONE) return 1;
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

// sums and sums of squares of rows of C numbers less those of row 0, so that squares of a mean far
// from zero do not drown the variance: single ones along a run, double ones over the runs
template <class K>
void moments(const typename K::Stored *x, int64_t first, int64_t last, int64_t C, double *sums) {
    typedef typename K::Vector V;
    constexpr int64_t RUN = 16;
    for (int64_t begin = first; begin < last; begin += RUN) {
        const int64_t end = begin + RUN < last ? begin + RUN : last;
        for (int64_t c = 0; c < C; c += K::LANES) {
            const int n = C - c < K::LANES ? (int)(C - c) : 0;
            V sum = {}, square = {};
            const V origin = load<K>(x + c, n);
            for (int64_t r = begin; r < end; r++) {
                const V v = load<K>(x + r * C + c, n) - origin;
                sum += v;
                square += v * v;
            }
            for (int i = 0; i < (n ? n : K::LANES); i++) {
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
        const int n = C - c < K::LANES ? (int)(C - c) : 0;
        typename K::Real some[3][K::LANES] = {};
        V k[3];
        for (int i = 0; i < 3; i++) {
            memcpy(some[i], abc + i * C + c, (n ? n : K::LANES) * sizeof some[0][0]);
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

// What batch-norm does with sums over the samples, channel by channel, in double; see fused.py.
struct NormTask {
    int64_t channels, samples;
    int32_t dtype, is_training;
    double eps, momentum, factor;
    const void *first;  // row of the currents, which the sums are of what is above
    const double *sums;
    const void *weight, *bias;
    void *mean, *variance;  // the running ones
    double *statistics;     // (2, C): mean and variance
    void *affine;           // (2, C): scale and shift
    void *factors;          // (3, C): of gradient, currents and 1, in the gradient of the currents
    void *grad_weight, *grad_bias;
};

template <class K> double wide(const typename K::Stored *p) { return (double)load<K>(p, 1)[0]; }

template <class K> void settle(const NormTask &task) {
    typedef typename K::Real Real;
    const int64_t C = task.channels;
    const double samples = (double)task.samples;
    const Real *weight = (const Real *)task.weight, *bias = (const Real *)task.bias;
    Real *mean = (Real *)task.mean, *variance = (Real *)task.variance, *out = (Real *)task.affine;
    for (int64_t c = 0; c < C; c++) {
        const double above = task.sums[c] / samples;
        double spread = task.sums[C + c] / samples - above * above;
        spread = spread < 0 ? 0 : spread;  // a NaN stays one
        const double middle = wide<K>((const typename K::Stored *)task.first + c) + above;
        const double unbiased = spread * (samples / (samples - 1));
        mean[c] += (Real)task.momentum * ((Real)middle - mean[c]);
        variance[c] += (Real)task.momentum * ((Real)unbiased - variance[c]);
        const double scale = weight[c] * task.factor / std::sqrt(spread + task.eps);
        out[c] = (Real)scale;
        out[C + c] = (Real)(bias[c] - middle * scale);
        task.statistics[c] = middle;
        task.statistics[C + c] = spread;
    }
}

template <class K> void spread(const NormTask &task) {
    typedef typename K::Real Real;
    const int64_t C = task.channels;
    const Real *weight = (const Real *)task.weight;
    Real *factors = (Real *)task.factors;
    for (int64_t c = 0; c < C; c++) {
        const double mean = task.statistics[c];
        const double inverse = 1 / std::sqrt(task.statistics[C + c] + task.eps);
        const double bias = task.sums[c], normal = (task.sums[C + c] - mean * bias) * inverse;
        const double scale = weight[c] * task.factor * inverse;
        double slope = 0, rest = 0;
        if (task.is_training) {
            slope = -scale * inverse * normal / (double)task.samples;
            rest = -scale * bias / (double)task.samples - slope * mean;
        }
        factors[c] = (Real)scale;
        factors[C + c] = (Real)slope;
        factors[2 * C + c] = (Real)rest;
        ((Real *)task.grad_weight)[c] = (Real)(normal * task.factor);
        ((Real *)task.grad_bias)[c] = (Real)bias;
    }
}

}  // namespace

extern "C" {

int dse_neurons_version() { return 4; }

int dse_neurons_task_bytes() { return (int)(sizeof(Task) + sizeof(NormTask)); }

void dse_neurons_settle(const NormTask *task) {
    if (task->dtype == 0) settle<Single>(*task);
    else if (task->dtype == 1) settle<Twice>(*task);
    else settle<Brain>(*task);
}

void dse_neurons_spread(const NormTask *task) {
    if (task->dtype == 1) spread<Twice>(*task);
    else spread<Single>(*task);
}

int dse_neurons_forward(const Task *task) { return run(*task, false); }

int dse_neurons_backward(const Task *task) { return run(*task, true); }

// sums: (2, C), added to; of what is above row 0
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
