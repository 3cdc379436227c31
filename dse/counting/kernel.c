/* One pass over a tensor: which elements have a magnitude between two bounds, and what they reach.
 *
 * The elements come as unsigned integers of their own width. Without its sign bit, the bit pattern of
 * a floating-point number orders as its magnitude does, so every test here is an integer comparison:
 * exact, for denormals too, and easily vectorised. `dse/counting/activity.py` is the same in PyTorch.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__linux__) && !defined(DSE_PLAIN)
#define FAST __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define FAST
#endif

#define BLOCK 2048 /* elements that stay in the first cache while they are looked at twice */

#define LOW_BITS 0xfffffu /* BLOCK times this fits 32 bits, and so does BLOCK times the bits above */

/* x: rows x channels x places, strides in elements.  low, high: bit patterns of magnitudes, low >= 1.
 * fan: what an element in [channel][place] counts; channel stride 0 if all channels are alike; null: totals stay 0
 * totals[rows]: sums of fan over the marked elements.  marks[rows]: their number.
 * counts[rows][places]: marked elements over channels, or null.
 * stats: bits of the largest magnitude and of the smallest marked one (0 if there is none), whether a
 * marked one is negative, ones, marked ones
 */
#define SCAN(NAME, WORD, SIGN, ONE)                                                               \
    FAST static void NAME##_run(const WORD *x, int64_t n, int64_t step, WORD low, WORD high,      \
                                const int32_t *fan, int64_t *total, int64_t *mark, WORD *bounds,  \
                                int64_t *ones)                                                    \
    {                                                                                             \
        const WORD magnitude = (WORD)~SIGN, span = (WORD)(high - low);                            \
        WORD largest = bounds[0], smallest = bounds[1], signs = bounds[2];                        \
        for (int64_t start = 0; start < n; start += BLOCK) {                                      \
            const int64_t stop = n - start < BLOCK ? n - start : BLOCK;                           \
            const WORD *block = x + start * step;                                                 \
            uint32_t marked = 0, one = 0;                                                         \
            if (step == 1) {                                                                      \
                for (int64_t i = 0; i < stop; i++) {                                              \
                    const WORD bits = block[i], size = bits & magnitude;                          \
                    const WORD is_in = (WORD)((WORD)(size - low) <= span);                        \
                    const WORD other = (WORD)((WORD)(size - 1) | (WORD)(is_in - 1));              \
                    marked += is_in;                                                              \
                    one += size == ONE;                                                           \
                    largest = size > largest ? size : largest;                                    \
                    smallest = other < smallest ? other : smallest;                               \
                    signs |= (WORD)(bits & (WORD)-is_in);                                         \
                }                                                                                 \
            } else {                                                                              \
                for (int64_t i = 0; i < stop; i++) {                                              \
                    const WORD bits = block[i * step], size = bits & magnitude;                   \
                    const WORD is_in = (WORD)((WORD)(size - low) <= span);                        \
                    const WORD other = (WORD)((WORD)(size - 1) | (WORD)(is_in - 1));              \
                    marked += is_in;                                                              \
                    one += size == ONE;                                                           \
                    largest = size > largest ? size : largest;                                    \
                    smallest = other < smallest ? other : smallest;                               \
                    signs |= (WORD)(bits & (WORD)-is_in);                                         \
                }                                                                                 \
            }                                                                                     \
            *mark += marked;                                                                      \
            *ones += one;                                                                         \
            if (fan) {                                                                            \
                uint32_t reached = 0, above = 0;                                                  \
                for (int64_t i = 0; i < stop; i++) {                                              \
                    const WORD size = block[i * step] & magnitude;                                \
                    const uint32_t here = (WORD)(size - low) <= span ? (uint32_t)fan[start + i] : 0; \
                    reached += here & LOW_BITS;                                                   \
                    above += here >> 20;                                                          \
                }                                                                                 \
                *total += ((int64_t)above << 20) + reached;                                       \
            }                                                                                     \
        }                                                                                         \
        bounds[0] = largest;                                                                      \
        bounds[1] = smallest;                                                                     \
        bounds[2] = signs;                                                                        \
    }                                                                                             \
    /* marked elements of n columns, added to their counters */                                   \
    FAST static void NAME##_columns(const WORD *x, int64_t n, WORD low, WORD high,                \
                                    int32_t *counts, WORD *bounds, int64_t *ones)                 \
    {                                                                                             \
        const WORD magnitude = (WORD)~SIGN, span = (WORD)(high - low);                            \
        WORD largest = bounds[0], smallest = bounds[1], signs = bounds[2];                        \
        uint32_t one = 0;                                                                         \
        for (int64_t i = 0; i < n; i++) {                                                         \
            const WORD bits = x[i], size = bits & magnitude;                                      \
            const WORD is_in = (WORD)((WORD)(size - low) <= span);                                \
            const WORD other = (WORD)((WORD)(size - 1) | (WORD)(is_in - 1));                      \
            counts[i] += is_in;                                                                   \
            one += size == ONE;                                                                   \
            largest = size > largest ? size : largest;                                            \
            smallest = other < smallest ? other : smallest;                                       \
            signs |= (WORD)(bits & (WORD)-is_in);                                                 \
        }                                                                                         \
        *ones += one;                                                                             \
        bounds[0] = largest;                                                                      \
        bounds[1] = smallest;                                                                     \
        bounds[2] = signs;                                                                        \
    }                                                                                             \
    static void NAME(const WORD *x, const int64_t *shape, const int64_t *stride, uint64_t low,    \
                     uint64_t high, const int32_t *fan, int64_t fan_stride, int64_t *totals,      \
                     int64_t *marks, int32_t *counts, uint64_t *stats)                            \
    {                                                                                             \
        const int64_t rows = shape[0], channels = shape[1], places = shape[2];                    \
        WORD bounds[3] = {0, (WORD)~(WORD)0, 0};                                                  \
        int64_t ones = 0, all = 0;                                                                \
        for (int64_t row = 0; row < rows; row++) {                                                \
            const WORD *start = x + row * stride[0];                                              \
            int64_t total = 0, mark = 0;                                                          \
            if (stride[1] == 1 && channels > 1 && fan_stride == 0) {                              \
                for (int64_t place = 0; place < places; place++) {                                \
                    int64_t here = 0;                                                             \
                    NAME##_run(start + place * stride[2], channels, 1, (WORD)low, (WORD)high, 0,  \
                               &total, &here, bounds, &ones);                                     \
                    mark += here;                                                                 \
                    total += fan ? here * fan[place] : 0;                                         \
                    if (counts) counts[row * places + place] = (int32_t)here;                     \
                }                                                                                 \
            } else if (counts && stride[2] == 1) {                                                \
                int32_t *column = counts + row * places;                                          \
                memset(column, 0, (size_t)places * sizeof(int32_t));                              \
                for (int64_t channel = 0; channel < channels; channel++)                          \
                    NAME##_columns(start + channel * stride[1], places, (WORD)low, (WORD)high,    \
                                   column, bounds, &ones);                                        \
                for (int64_t place = 0; place < places; place++) {                                \
                    mark += column[place];                                                        \
                    total += fan ? (int64_t)column[place] * fan[place] : 0;                       \
                }                                                                                 \
            } else if (stride[1] == places && stride[2] == 1 && (!fan || fan_stride == places)) { \
                NAME##_run(start, channels * places, 1, (WORD)low, (WORD)high, fan, &total,       \
                           &mark, bounds, &ones);                                                 \
            } else {                                                                              \
                for (int64_t channel = 0; channel < channels; channel++)                          \
                    NAME##_run(start + channel * stride[1], places, stride[2], (WORD)low,         \
                               (WORD)high, fan ? fan + channel * fan_stride : 0, &total, &mark,   \
                               bounds, &ones);                                                    \
            }                                                                                     \
            totals[row] = total;                                                                  \
            marks[row] = mark;                                                                    \
            all += mark;                                                                          \
        }                                                                                         \
        stats[0] = bounds[0];                                                                     \
        stats[1] = bounds[1] == (WORD)~(WORD)0 ? 0 : (uint64_t)bounds[1] + 1;                     \
        stats[2] = (bounds[2] & SIGN) != 0;                                                       \
        stats[3] = (uint64_t)ones;                                                                \
        stats[4] = (uint64_t)all;                                                                 \
    }

SCAN(scan8, uint8_t, (uint8_t)0x80u, 1)
SCAN(scan_half, uint16_t, (uint16_t)0x8000u, 0x3c00u)
SCAN(scan_bfloat, uint16_t, (uint16_t)0x8000u, 0x3f80u)
SCAN(scan32, uint32_t, 0x80000000u, 0x3f800000u)
SCAN(scan64, uint64_t, 0x8000000000000000u, 0x3ff0000000000000u)

static double number(int kind, uint64_t bits)
{
    const uint32_t single = (uint32_t)(kind == 2 ? bits << 16 : bits);
    const int exponent = (int)(bits >> 10) & 31, fraction = (int)(bits & 1023);
    float narrow;
    double wide;
    switch (kind) {
    case 0:
        return (double)bits;
    case 1: /* half precision: 5 bits of exponent, 10 of fraction */
        if (exponent == 31) return fraction ? NAN : INFINITY;
        return exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    case 4:
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    default:
        memcpy(&narrow, &single, sizeof narrow);
        return (double)narrow;
    }
}

/* kind: 0 mask of bytes, 1 float16, 2 bfloat16, 3 float32, 4 float64.
 * With a fan that is alike in all channels, `counts` must be given: it is the scratch memory.
 * found: the stats as numbers: largest, smallest, negative, ones, marked.  Returns 1 if it knows no such kind.
 */
int dse_scan_version(void) { return 1; } /* of the arguments below; kernel.py asks for it */

int dse_scan(int kind, const void *x, const int64_t *shape, const int64_t *stride, uint64_t low,
             uint64_t high, const int32_t *fan, int64_t fan_stride, int64_t *totals, int64_t *marks,
             int32_t *counts, double *found)
{
    uint64_t stats[5];
    switch (kind) {
    case 0: scan8(x, shape, stride, low, high, fan, fan_stride, totals, marks, counts, stats); break;
    case 1: scan_half(x, shape, stride, low, high, fan, fan_stride, totals, marks, counts, stats); break;
    case 2: scan_bfloat(x, shape, stride, low, high, fan, fan_stride, totals, marks, counts, stats); break;
    case 3: scan32(x, shape, stride, low, high, fan, fan_stride, totals, marks, counts, stats); break;
    case 4: scan64(x, shape, stride, low, high, fan, fan_stride, totals, marks, counts, stats); break;
    default: return 1;
    }
    found[0] = number(kind, stats[0]);
    found[1] = number(kind, stats[1]);
    for (int i = 2; i < 5; i++) found[i] = (double)stats[i];
    return 0;
}
