/* The pass of gpt/cached.py over new positions, which are appended to its cache.

   Writing a token costs what reading all weights costs, if nothing else takes time: weights are
   read once for all positions, in the order in which they lie in memory, and are widened to fp32
   in registers. Every position's sums run in the same order whatever is computed beside it.

   Shapes are in elements, the last one innermost. Weights are padded with zeros: outputs to a
   multiple of TILE, inputs to one of PAD (as gpt/native.py packs them). */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define TILE 4 /* outputs computed together */
#define PAD 16 /* no processor's vectors are longer */
#define GROUP 64 /* outputs whose weights stay in the nearest caches while positions pass */
#if defined __AVX512F__
#include <immintrin.h>
#define LANES 16
#define BLOCK 4 /* positions computed together; TILE x BLOCK sums must fit into registers */
#elif defined __AVX2__ && defined __F16C__
#include <immintrin.h>
#define LANES 8
#define BLOCK 2
#else
#define LANES 4
#define BLOCK 4
#endif
#define INLINE static inline __attribute__((always_inline))
#define AHEAD 4096 /* bytes: how far weights are fetched before they are needed */

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float quad __attribute__((vector_size(16)));
enum kind { FLOAT32, FLOAT16, BFLOAT16, INT8 };
static const int BYTES[] = {4, 2, 2, 1};

INLINE long min(long a, long b) { return a < b ? a : b; }
INLINE long padded(long count, long to) { return (count + to - 1) / to * to; }

/* LANES weights from `from`, widened. */
INLINE lanes widen(enum kind kind, const char *from) {
#if LANES == 16
  const __m256i *half = (const __m256i *)from;
  if (kind == FLOAT16) return (lanes)_mm512_cvtph_ps(_mm256_loadu_si256(half));
  if (kind == BFLOAT16)
    return (lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(half)), 16);
  if (kind == INT8)
    return (lanes)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
#elif LANES == 8
  const __m128i *half = (const __m128i *)from;
  if (kind == FLOAT16) return (lanes)_mm256_cvtph_ps(_mm_loadu_si128(half));
  if (kind == BFLOAT16)
    return (lanes)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(half)), 16);
  if (kind == INT8) return (lanes)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(half)));
#else
  if (kind != FLOAT32) {
    lanes wide;
    for (int lane = 0; lane < LANES; lane++) {
      if (kind == FLOAT16) wide[lane] = (float)((const _Float16 *)from)[lane];
      if (kind == INT8) wide[lane] = (float)((const int8_t *)from)[lane];
      if (kind == BFLOAT16) {
        uint32_t bits = (uint32_t)((const uint16_t *)from)[lane] << 16;
        float value;
        memcpy(&value, &bits, 4);
        wide[lane] = value;
      }
    }
    return wide;
  }
#endif
  return *(const lanes *)from;
}

INLINE float total(lanes sum) {
  union {
    lanes all;
    quad parts[LANES / 4];
  } split = {sum};
  quad four = split.parts[0];
#pragma GCC unroll 4
  for (int part = 1; part < LANES / 4; part++) four += split.parts[part];
  return (four[0] + four[1]) + (four[2] + four[3]);
}

/* y[count, outputs] = x[count, inputs] w[TILE, inputs]' for TILE of the outputs. */
INLINE void tile(enum kind kind, int count, const char *w, const float *scales, const float *x,
                 long inputs, float *y, long outputs) {
  lanes sums[TILE][BLOCK] = {0};
  long row = inputs * BYTES[kind];
  for (long k = 0; k < inputs; k += LANES) {
#pragma GCC unroll 4
    for (int o = 0; o < TILE; o++) {
      const char *from = w + o * row + k * BYTES[kind];
      __builtin_prefetch(from + AHEAD, 0, 3);
      lanes weights = widen(kind, from);
#pragma GCC unroll 4
      for (int p = 0; p < count; p++) sums[o][p] += weights * *(const lanes *)(x + p * inputs + k);
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < TILE; o++)
#pragma GCC unroll 4
    for (int p = 0; p < count; p++)
      y[p * outputs + o] = total(sums[o][p]) * (kind == INT8 ? scales[o] : 1);
}

INLINE void tiles(enum kind kind, const char *w, const float *scales, const float *x, long count,
                  long inputs, float *y, long outputs, long first, long last) {
  for (long group = first; group < last; group += GROUP)
    for (long p = 0, block; p < count; p += block) {
      block = count - p < BLOCK ? 1 : BLOCK;
      for (long o = group; o < last && o < group + GROUP; o += TILE)
        if (block == BLOCK)
          tile(kind, BLOCK, w + o * inputs * BYTES[kind], scales + o, x + p * inputs, inputs,
               y + p * outputs + o, outputs);
        else
          tile(kind, 1, w + o * inputs * BYTES[kind], scales + o, x + p * inputs, inputs,
               y + p * outputs + o, outputs);
    }
}

/* y[count, outputs] = x[count, inputs] w[outputs, inputs]', outputs `first` to `last`. */
static void product(enum kind kind, const char *w, const float *scales, const float *x, long count,
                    long inputs, float *y, long outputs, long first, long last) {
  if (kind == FLOAT32) tiles(FLOAT32, w, scales, x, count, inputs, y, outputs, first, last);
  if (kind == FLOAT16) tiles(FLOAT16, w, scales, x, count, inputs, y, outputs, first, last);
  if (kind == BFLOAT16) tiles(BFLOAT16, w, scales, x, count, inputs, y, outputs, first, last);
  if (kind == INT8) tiles(INT8, w, scales, x, count, inputs, y, outputs, first, last);
}

/* e^x to two units in the last place, in operations that compilers vectorise (Cephes' expf). */
INLINE float exponential(float x) {
  x = x < -87 ? -87 : x > 88 ? 88 : x;
  float n = rintf(x * 1.44269504f), r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  union {
    int32_t bits;
    float value;
  } power = {.bits = ((int32_t)n + 127) << 23};
  return (p * r * r + r + 1) * power.value;
}

/* y[count, stride] = RMSNorm(x[count, width]); `weight` holds sqrt(width). */
static void normalise(const float *x, const float *weight, long count, long width, float *y,
                      long stride) {
  for (long p = 0; p < count; p++, x += width, y += stride) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (long c = 0; c < width; c++) squares += x[c] * x[c];
    float scale = 1 / fmaxf(sqrtf(squares), 1e-12f);
    for (long c = 0; c < width; c++) y[c] = x[c] * weight[c] * scale;
  }
}

/* y[channels] = softmax(query keys' / sqrt(channels)) values; keys, values: [slots, channels]. */
static void attend(const float *query, const float *keys, const float *values, long slots,
                   long channels, float *weights, float *y) {
  float scale = 1 / sqrtf(channels), highest = -INFINITY, sum = 0;
  for (long s = 0; s < slots; s++) {
    float score = 0;
#pragma omp simd reduction(+ : score)
    for (long c = 0; c < channels; c++) score += query[c] * keys[s * channels + c];
    weights[s] = score * scale;
    highest = fmaxf(highest, weights[s]);
  }
#pragma omp simd reduction(+ : sum)
  for (long s = 0; s < slots; s++) sum += weights[s] = exponential(weights[s] - highest);
  memset(y, 0, channels * sizeof *y);
  for (long s = 0; s < slots; s++)
    for (long c = 0; c < channels; c++) y[c] += weights[s] * values[s * channels + c];
  for (long c = 0; c < channels; c++) y[c] /= sum;
}

struct model {
  int64_t layers, width, heads, hidden, kind;
  const char *weights;   /* [layers][qkv, attention out, gate and value, feed-forward out] */
  const float *scales;   /* int8: of every output, in the same order */
  const float *norms;    /* [layers][2, width], [width] */
  const float *rotation; /* [positions, channels / 2, cosine and sine] */
};

struct batch {
  int64_t rows, new, first, size, layer_stride, row_stride, threads;
  float *x;                 /* [rows, new, width]: inputs, then hidden states */
  float *cache;             /* [layers, rows, key and value, heads, size, channels] */
  const int64_t *positions; /* [rows, new] */
  const int64_t *starts;    /* [rows], or NULL: 0 */
};

static void barrier(void) {
#ifdef _OPENMP
#pragma omp barrier
#endif
}

/* What thread `thread` of `threads` does: `scratch` is shared, `own` is its own. */
static void pass(const struct model *m, const struct batch *b, float *scratch, float *own,
                 long thread, long threads) {
  long width = m->width, heads = m->heads, channels = width / heads, count = b->rows * b->new;
  long inputs = padded(width, PAD), hidden = padded(m->hidden, PAD);
  long outputs[] = {padded(3 * width, TILE), padded(width, TILE), padded(2 * m->hidden, TILE),
                    padded(width, TILE)};
  long sources[] = {inputs, inputs, inputs, hidden}, first[4], last[4];
  for (int i = 0; i < 4; i++) {
    long all = outputs[i] / TILE;
    first[i] = all * thread / threads * TILE, last[i] = all * (thread + 1) / threads * TILE;
  }
  float *y = scratch, *query = y + count * (outputs[0] > outputs[2] ? outputs[0] : outputs[2]);
  float *mixed = query + count * width, *gated = mixed + count * inputs;
  float *normed = own, *weights = own + count * inputs;
  const char *w = m->weights;
  const float *scales = m->scales;
#define PRODUCT(i, x)                                                                     \
  product(m->kind, w, scales, x, count, sources[i], y, outputs[i], first[i], last[i]);    \
  w += outputs[i] * sources[i] * BYTES[m->kind];                                          \
  scales += m->kind == INT8 ? outputs[i] : 0
#define ADD(i)                                                                            \
  for (long p = 0; p < count; p++)                                                        \
    for (long o = first[i]; o < last[i] && o < width; o++) b->x[p * width + o] += y[p * outputs[i] + o]

  for (long layer = 0; layer < m->layers; layer++) {
    float *cache = b->cache + layer * b->layer_stride;
    normalise(b->x, m->norms + 2 * layer * width, count, width, normed, inputs);
    PRODUCT(0, normed);
    for (long p = 0; p < count; p++) {
      const float *turns = m->rotation + b->positions[p] * channels;
      float *slot = cache + p / b->new * b->row_stride + (b->first + p % b->new) * channels;
      for (long o = first[0], end; o < last[0] && o < 3 * width; o = end) {
        long group = o / channels, part = group / heads, head = group % heads;
        end = min(min((group + 1) * channels, last[0]), 3 * width);
        const float *from = y + p * outputs[0];
        float *to = part ? slot + ((part - 1) * heads + head) * b->size * channels - group * channels
                         : query + p * width;
        if (part == 2)
          memcpy(to + o, from + o, (end - o) * sizeof *to);
        else
          for (; o < end; o += 2) {
            float cosine = turns[o - group * channels], sine = turns[o - group * channels + 1];
            to[o] = from[o] * cosine - from[o + 1] * sine;
            to[o + 1] = from[o] * sine + from[o + 1] * cosine;
          }
      }
    }
    barrier();
    for (long i = count * heads * thread / threads; i < count * heads * (thread + 1) / threads; i++) {
      long p = i / heads, head = i % heads, row = p / b->new, slot = b->first + p % b->new;
      long from = b->starts && b->starts[row] < slot ? b->starts[row] : b->starts ? slot : 0;
      const float *keys = cache + row * b->row_stride + (head * b->size + from) * channels;
      attend(query + p * width + head * channels, keys, keys + heads * b->size * channels,
             slot + 1 - from, channels, weights, mixed + p * inputs + head * channels);
    }
    barrier();
    PRODUCT(1, mixed);
    ADD(1);
    barrier();
    normalise(b->x, m->norms + (2 * layer + 1) * width, count, width, normed, inputs);
    PRODUCT(2, normed);
    for (long p = 0; p < count; p++)
#pragma omp simd
      for (long o = first[2] / 2; o < last[2] / 2; o++) {
        float gate = y[p * outputs[2] + 2 * o], value = y[p * outputs[2] + 2 * o + 1];
        gated[p * hidden + o] = gate / (1 + exponential(-gate)) * value;
      }
    barrier();
    PRODUCT(3, gated);
    ADD(3);
    barrier();
  }
  if (thread == 0) normalise(b->x, m->norms + 2 * m->layers * width, count, width, b->x, width);
}

/* Returns 0, or 1 without memory. */
int transform(const struct model *m, const struct batch *b) {
  long count = b->rows * b->new, inputs = padded(m->width, PAD);
  long widest = padded(m->hidden, PAD) + 2 * m->hidden + 6 * inputs + 2 * TILE;
  long each = count * inputs + padded(b->first + b->new, PAD);
  long shared = padded(count * widest, PAD);
  /* Zeros: padding of the inputs stays 0. */
  float *scratch = calloc(shared + b->threads * each, sizeof *scratch);
  if (!scratch) return 1;
#ifdef _OPENMP
#pragma omp parallel num_threads(b->threads) if (b->threads > 1)
  pass(m, b, scratch, scratch + shared + omp_get_thread_num() * each, omp_get_thread_num(),
       omp_get_num_threads());
#else
  pass(m, b, scratch, scratch + shared, 0, 1);
#endif
  free(scratch);
  return 0;
}
