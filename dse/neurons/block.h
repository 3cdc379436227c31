// Block: neurons of one layer, for as many channels as a register has lanes, forwards and backwards.
#pragma once
#include "lanes.h"

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
    const void *scale, *shift;  // of the dtype of computing: double for double
    void *outputs;
    double *spikes;  // their number
    const void *grad_outputs;
    double grad_spikes;
    void *grad_currents;
    double *sums;        // (2, C): of the gradient behind the affine map, and of it times current
    double *parameters;  // gradients of threshold, leak, gain, initial
};

template <class K> struct Sums {
    typename K::Vector gradient = {}, product = {}, threshold = {}, leak = {}, gain = {};
    typename K::Vector initial = {};
};

// Every branch costs registers where all steps are unrolled. So the usual task is one of its own:
// T steps, all lanes, and spikes (IS_SPIKE). T = 0 is any number of steps.
template <class K, int T, bool IS_SPIKE> struct Block {
    typedef typename K::Vector V;
    typedef typename K::Mask M;
    typedef typename K::Stored Stored;
    typedef typename K::Real Real;
    static constexpr int ROOM = T ? T : LONGEST;
    const Task &task;
    const int n;                 // channels of it if not all lanes
    const int steps;
    int64_t stride, out_stride;  // from step to step; stride 0: the same currents at all
    const int kind;
    const bool is_hard, is_detached, has_affine;
    const M keeps_rest;  // all bits for a soft reset
    V scale, shift;
    Real threshold, leak, gain, initial;

    INLINE explicit Block(const Task &task, int n = 0)
        : task(task), n(n), steps(T ? T : (int)task.steps), kind(IS_SPIKE ? SPIKE : task.output),
          is_hard(task.is_hard), is_detached(task.is_detached),
          has_affine(task.scale != nullptr), keeps_rest(M{} - (task.is_hard ? 0 : 1)) {
        const int64_t places = task.samples * task.height * task.width;
        stride = task.current_steps == 1 ? 0 : places * task.channels;
        out_stride = task.samples * (task.height / task.pool) * (task.width / task.pool)
                     * task.channels;
        threshold = (Real)task.threshold;
        leak = (Real)task.leak;
        gain = (Real)task.gain;
        initial = (Real)task.initial;
    }

    // the channels from this one on
    INLINE void at(int64_t channel) {
        if (!has_affine) return;
        const Real *from[2] = {(const Real *)task.scale + channel,
                               (const Real *)task.shift + channel};
        if (n == 0) {
            memcpy(&scale, from[0], sizeof scale);
            memcpy(&shift, from[1], sizeof shift);
            return;
        }
        Real some[2][K::LANES] = {};
        for (int i = 0; i < 2; i++) memcpy(some[i], from[i], n * sizeof(Real));
        memcpy(&scale, some[0], sizeof scale);
        memcpy(&shift, some[1], sizeof shift);
    }

    INLINE V current(V raw) const { return has_affine ? K::fma(raw, scale, shift) : raw; }

    INLINE V reset(V u, V excess, M fired) const {
        if (kind != SPIKE) return V{};  // keeps nothing: no infinity times 0 either
        return fired ? (V)((M)excess & keeps_rest) : u;
    }

    INLINE V output(V u, M fired) const {
        switch (kind) {
        case SPIKE: return fired ? fill<K>(1) : V{};
        case SIGN: return fired ? fill<K>(1) : fill<K>(-1);
        case RELU: return u <= (Real)0 ? V{} : u;  // a NaN stays one
        default: return u;
        }
    }

    // the slopes of T potentials less threshold, in place
    INLINE void slopes(V *x) const {
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
        case ONE:
            for (int t = 0; t < count; t++) x[t] = fill<K>(1);
            return;
        }
    }

    static INLINE V size(V x) { return x < (Real)0 ? -x : x; }

    static INLINE V logistic(V x, Real alpha) {
        const V e = K::exponential(size(x) * -alpha);
        return alpha * e / ((e + (Real)1) * (e + (Real)1));
    }

    // P places of a window, whose outputs become one; without `out` nothing is read of them
    template <int P> INLINE void forward(const Stored *const *x, Stored *out, V &spikes) {
        const int count = T ? T : steps;
        V pooled[ROOM];
#pragma GCC unroll 1
        for (int p = 0; p < P; p++) {
            V v = fill<K>(initial), y = current(load<K>(x[p], n));
            for (int t = 0; t < count; t++) {
                if (t && stride) y = current(load<K>(x[p] + t * stride, n));
                const V u = v * leak + y * gain;
                const M fired = u >= threshold;
                v = reset(u, u - threshold, fired);
                spikes += fired ? fill<K>(1) : V{};
                const V made = output(u, fired);
                const bool is_first = P == 1 || p == 0;
                if (is_first) pooled[t] = made;
                else pooled[t] = ((made > pooled[t]) | (made != made)) ? made : pooled[t];
            }
        }
        if (out)
            for (int t = 0; t < count; t++) store<K>(out + t * out_stride, pooled[t], n);
    }

    template <int P, bool LEARNS>
    INLINE void backward(const Stored *const *x, const Stored *out, const Stored *grad_out,
                         Stored *const *grad_x, Sums<K> &all_sums) {
        Sums<K> sums;  // in registers; those of the row are in memory
        const int count = T ? T : steps;
        V raw[ROOM], potentials[ROOM], slope[ROOM], arriving[ROOM];
        V before[LEARNS ? ROOM : 1], currents[LEARNS ? ROOM : 1];
        const bool is_bit = kind == SPIKE || kind == SIGN;
        const Real of_spikes = (Real)task.grad_spikes;
        for (int t = 0; t < count; t++)
            arriving[t] = out ? load<K>(grad_out + t * out_stride, n) : V{};
#pragma GCC unroll 1
        for (int p = 0; p < P; p++) {
            for (int t = 0; t < (stride ? count : 1); t++) {
                const int64_t next = (P > 1 ? 2 : 1) * task.channels + t * stride;
                __builtin_prefetch(x[p] + next);
                __builtin_prefetch(grad_x[p] + next, 1);
            }
            // kept, since a load that follows a store 4096 bytes apart waits for it
            raw[0] = load<K>(x[p], n);
            V v = fill<K>(initial), y = current(raw[0]);
            for (int t = 0; t < count; t++) {
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
                slope[t] = u - threshold;
                v = reset(u, slope[t], u >= threshold);
            }
            slopes(slope);
            V later = {}, all = {};
            for (int t = count - 1; t >= 0; t--) {
                const V u = potentials[t];
                const M fired = u >= threshold;
                V grad = arriving[t];
                if (P > 1) {
                    // the first place of the largest output takes it all; of bits that is the first
                    // that fires, and place 0 if none does
                    M is_owner = fired;
                    if (!is_bit) {
                        const V made = K::opened(K::closed(output(u, fired)));
                        is_owner = (made == load<K>(out + t * out_stride, n)) | (made != made);
                    } else if (p == 0) {
                        is_owner |= load<K>(out + t * out_stride, n) <= (Real)0;
                    }
                    grad = is_owner ? grad : V{};
                    arriving[t] = is_owner ? V{} : arriving[t];
                }
                grad += of_spikes;
                const V through = fired ? (V)((M)later & keeps_rest) : later;
                if (!is_detached) grad -= (is_hard ? u : fill<K>(threshold)) * later;
                const V change = slope[t] * grad;
                const V inner = through + change;
                if (LEARNS) {
                    if (!is_hard) sums.threshold -= fired ? later : V{};
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

}  // namespace
