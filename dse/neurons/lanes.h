// Lanes: a register of numbers at a time, single, double, or bfloat16 that is computed as single.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace {

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
    static INLINE Vector opened(Vector v) { return v; }  // of what is in memory
    static INLINE Vector closed(Vector v) { return v; }
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
#if defined(__AVX512F__)
        return (Vector)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__) && defined(__FMA__)
        return (Vector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
        return a * b + c;
#endif
    }
    static INLINE Vector opened(Vector v) { return v; }
    static INLINE Vector closed(Vector v) { return v; }
    static INLINE Vector exponential(Vector x) {
        for (int i = 0; i < LANES; i++) x[i] = std::exp(x[i]);
        return x;
    }
};

struct Brain : Single {  // stored as bfloat16, computed as float
    typedef uint16_t Stored;
    static INLINE Vector opened(Halves h) {
        return (Vector)(__builtin_convertvector(h, Words) << 16);
    }
    static INLINE Halves closed(Vector v) {
        const Words bits = (Words)v;
        const Words nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        const Words quiet = (bits >> 16) | 0x40u;  // a NaN stays one
        return __builtin_convertvector(v == v ? nearest : quiet, Halves);
    }
    static INLINE Vector whole(const Stored *p) {
        Halves h;
        memcpy(&h, p, sizeof h);
        return opened(h);
    }
    static INLINE void keep(Stored *p, Vector v) {
        const Halves h = closed(v);
        memcpy(p, &h, sizeof h);
    }
};

template <class K> INLINE typename K::Vector fill(typename K::Real x) {
    return typename K::Vector{} + x;
}

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
INLINE Floats part(const float *p, int n) {
    return (Floats)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE Doubles part(const double *p, int n) {
    return (Doubles)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
INLINE void keep_part(float *p, Floats v, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
INLINE void keep_part(double *p, Doubles v, int n) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
}
INLINE Halves part(const uint16_t *p, int n) {
    return (Halves)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
}
INLINE void keep_part(uint16_t *p, Halves v, int n) {
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)v);
}
#else
template <class V, class N> INLINE V part_of(const N *p, int n) {
    V v = {};
    for (int i = 0; i < (int)(sizeof v / sizeof *p) - 1; i++)
        if (i < n) v[i] = p[i];
    return v;
}
INLINE Floats part(const float *p, int n) { return part_of<Floats>(p, n); }
INLINE Doubles part(const double *p, int n) { return part_of<Doubles>(p, n); }
INLINE Halves part(const uint16_t *p, int n) { return part_of<Halves>(p, n); }
template <class V, class N> INLINE void keep_part(N *p, V v, int n) {
    for (int i = 0; i < (int)(sizeof v / sizeof *p) - 1; i++)
        if (i < n) p[i] = v[i];
}
#endif

// n of the lanes (0: all); the others are 0 when read and left alone when written
template <class K> INLINE typename K::Vector load(const typename K::Stored *p, int n) {
    return n == 0 ? K::whole(p) : K::opened(part(p, n));
}

template <class K> INLINE void store(typename K::Stored *p, typename K::Vector v, int n) {
    if (n == 0) K::keep(p, v);
    else keep_part(p, K::closed(v), n);
}

template <class K> INLINE double total(typename K::Vector v, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    return sum;
}

}  // namespace
