/* The pass of gpt/cached.py over new positions, which are appended to its cache.

   Writing a token costs what reading all weights costs, if nothing else takes time: weights are
   read once for all positions, in the order in which they lie in memory, and are widened to fp32
   in registers. Every position's sums run in the same order whatever is computed beside it.

   Shapes are in elements, the last one innermost. Weights are padded with zeros: outputs to a
   multiple of TILE, inputs to one of PAD (as gpt/native.py packs them). */
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
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
#define CHUNKS 4 /* for each thread, of everything that threads share */
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
  const char *weights;   /* [layers][qkv, attention out, gates and values, feed-forward out] */
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

enum { QKV, ATTENTION_OUT, GATED, FEED_FORWARD_OUT, ATTENTION, STAGES };
static const int ORDER[] = {QKV, ATTENTION, ATTENTION_OUT, GATED, FEED_FORWARD_OUT};

/* Work that is done in chunks before the next begins. Threads take chunks as they come and wait
   for chunks, not for each other: on a busy machine, a thread that sleeps keeps nobody waiting
   unless it holds one. */
struct stage {
  _Atomic long taken, done;
  char apart[128 - 2 * sizeof(_Atomic long)]; /* from the next one's cache line */
};

/* What the threads share. */
struct work {
  const struct model *m;
  const struct batch *b;
  long count, channels;              /* positions; channels of a head */
  long inputs[4], outputs[4];        /* of the products, padded */
  float *y, *query, *mixed, *hidden; /* [count, ...]: outputs, width, inputs[1], inputs[3] */
  struct stage *stages;              /* [layers, STAGES] */
};

static void wait_for(struct stage *stage, long chunks) {
  for (long turn = 0; atomic_load(&stage->done) < chunks; turn++) {
    if (turn > 2000) sched_yield();
#ifdef __SSE2__
    __builtin_ia32_pause();
#endif
  }
}

/* Rotate queries and keys; keys and values go into the cache. */
static void place(const struct work *s, float *cache, long first, long last) {
  long width = s->m->width, heads = s->m->heads, channels = s->channels;
  for (long p = 0; p < s->count; p++) {
    const float *from = s->y + p * s->outputs[QKV];
    const float *turns = s->m->rotation + s->b->positions[p] * channels;
    long slot = s->b->first + p % s->b->new;
    float *row = cache + p / s->b->new * s->b->row_stride + slot * channels;
    for (long o = first, end; o < min(last, 3 * width); o = end) {
      long head = o / channels, begin = head * channels; /* queries' heads, keys', values' */
      end = min(min(begin + channels, last), 3 * width);
      float *to = head < heads ? s->query + p * width + begin
                               : row + (head - heads) * s->b->size * channels;
      if (head >= 2 * heads)
        memcpy(to + o - begin, from + o, (end - o) * sizeof *to);
      else
        for (long c = o - begin; c < end - begin; c += 2) {
          float real = from[begin + c], imaginary = from[begin + c + 1];
          to[c] = real * turns[c] - imaginary * turns[c + 1];
          to[c + 1] = real * turns[c + 1] + imaginary * turns[c];
        }
    }
  }
}

/* Heads `first` to `last` of [count, heads]. */
static void attend_all(const struct work *s, const float *cache, long first, long last,
                       float *weights) {
  long heads = s->m->heads, channels = s->channels, size = s->b->size;
  for (long i = first; i < last; i++) {
    long p = i / heads, head = i % heads, row = p / s->b->new, slot = s->b->first + p % s->b->new;
    /* Padding before a row's start attends to itself alone. */
    long from = s->b->starts ? min(s->b->starts[row], slot) : 0;
    const float *keys = cache + row * s->b->row_stride + (head * size + from) * channels;
    attend(s->query + p * s->m->width + head * channels, keys, keys + heads * size * channels,
           slot + 1 - from, channels, weights, s->mixed + p * s->inputs[1] + head * channels);
  }
}

static void gate(const struct work *s, long first, long last) {
  for (long p = 0; p < s->count; p++) {
    const float *pairs = s->y + p * s->outputs[GATED];
    float *hidden = s->hidden + p * s->inputs[FEED_FORWARD_OUT];
#pragma omp simd
    for (long o = first / 2; o < last / 2; o++)
      hidden[o] = pairs[2 * o] / (1 + exponential(-pairs[2 * o])) * pairs[2 * o + 1];
  }
}

static void add(const struct work *s, int product, long first, long last) {
  for (long p = 0; p < s->count; p++)
    for (long o = first; o < min(last, s->m->width); o++)
      s->b->x[p * s->m->width + o] += s->y[p * s->outputs[product] + o];
}

/* What each thread does; `own` memory: [count, inputs[0]] and a number for each slot. */
static void pass(const struct work *s, float *own) {
  const struct model *m = s->m;
  float *normed = own, *weights = own + s->count * s->inputs[0];
  const char *w = m->weights;
  const float *scales = m->scales, *norm = m->norms;
  for (long i = 0; i < m->layers * STAGES; i++) {
    int kind = ORDER[i % STAGES];
    struct stage *stage = s->stages + i;
    float *cache = s->b->cache + i / STAGES * s->b->layer_stride;
    long unit = kind == ATTENTION ? 1 : TILE;
    long units = kind == ATTENTION ? s->count * m->heads : s->outputs[kind] / TILE;
    long chunks = min(units, s->b->threads > 1 ? CHUNKS * s->b->threads : 1), chunk;
    const float *x = kind == ATTENTION_OUT ? s->mixed : kind == FEED_FORWARD_OUT ? s->hidden : normed;
    for (int done = 0; (chunk = atomic_fetch_add(&stage->taken, 1)) < chunks; done++) {
      long first = units * chunk / chunks * unit, last = units * (chunk + 1) / chunks * unit;
      if (!done && x == normed && kind != ATTENTION)
        normalise(s->b->x, norm, s->count, m->width, normed, s->inputs[0]);
      if (kind == ATTENTION)
        attend_all(s, cache, first, last, weights);
      else
        product(m->kind, w, scales, x, s->count, s->inputs[kind], s->y, s->outputs[kind],
                first, last);
      if (kind == QKV) place(s, cache, first, last);
      if (kind == GATED) gate(s, first, last);
      if (kind == ATTENTION_OUT || kind == FEED_FORWARD_OUT) add(s, kind, first, last);
      atomic_fetch_add(&stage->done, 1);
    }
    wait_for(stage, chunks);
    if (kind == ATTENTION) continue;
    w += s->outputs[kind] * s->inputs[kind] * BYTES[m->kind];
    if (m->kind == INT8) scales += s->outputs[kind];
    if (x == normed) norm += m->width;
  }
}

/* Returns 0, or 1 without memory. */
int transform(const struct model *m, const struct batch *b) {
  long count = b->rows * b->new, width = padded(m->width, PAD), hidden = padded(m->hidden, PAD);
  struct work s = {
      .m = m,
      .b = b,
      .count = count,
      .channels = m->width / m->heads,
      .inputs = {width, width, width, hidden},
      .outputs = {padded(3 * m->width, TILE), padded(m->width, TILE), padded(2 * m->hidden, TILE),
                  padded(m->width, TILE)},
  };
  long widest = s.outputs[QKV] > s.outputs[GATED] ? s.outputs[QKV] : s.outputs[GATED];
  long shared = count * (widest + 2 * width + hidden);
  long own = count * width + padded(b->first + b->new, PAD);
  /* Zeros: the padding of inputs has to stay 0, and nothing is done yet. */
  float *memory = calloc(shared + b->threads * own, sizeof *memory);
  s.stages = calloc(m->layers * STAGES, sizeof *s.stages);
  if (memory && s.stages) {
    s.y = memory, s.query = s.y + count * widest, s.mixed = s.query + count * width;
    s.hidden = s.mixed + count * width;
#ifdef _OPENMP
#pragma omp parallel num_threads(b->threads) if (b->threads > 1)
    pass(&s, memory + shared + omp_get_thread_num() * own);
#else
    pass(&s, memory + shared);
#endif
    normalise(b->x, m->norms + 2 * m->layers * m->width, count, m->width, b->x, m->width);
  }
  int failed = !memory || !s.stages;
  free(s.stages);
  free(memory);
  return failed;
}
