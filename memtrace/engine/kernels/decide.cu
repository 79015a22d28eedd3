// The greedy decision on rows of logits, and the count of matched tokens, as CUDA kernels.
//
// The rule is that of array_api.py in the same float32 arithmetic, so that both give the same bytes:
//   lead(v) = float32(logit[v] - logit[target])     a competitor's lead; the margin is -max(lead)
//   MISS        some competitor beats the target: lead > tolerance, or, at tolerance 0, a tie
//               with a lower id
//   UNDECIDED   tolerance > 0 and some competitor comes close: lead >= -tolerance
//   MATCH       otherwise
//   NOT_FINITE  the target's logit is not finite, or a competitor's is NaN or +infinity;
//               one of -infinity does not compete
// A rounded difference exceeds the tolerance only if the exact one does: rounding never turns a
// margin within the tolerance into a certain answer.
//
// A row is read in tiles of TILE ids, in ascending order, each tile whole; the first tile that
// holds a broken logit (NOT_FINITE) or a certain miss (MISS) ends the row. Where the reading stops
// therefore follows from the logits alone, not from the number or the order of the threads.
//
// No header is included: the source compiles under NVRTC without include paths, and as C++ on a
// host that supplies blockIdx, threadIdx, blockDim, uint4, fmaxf, __uint_as_float and
// __syncthreads_or.

enum Outcome : unsigned char { MISS, MATCH, UNDECIDED, NOT_FINITE };

constexpr int TILE = 4096;

// How 16 bytes hold logits of each type: Bits is one stored logit, widen() its exact float32 value.
struct Float32 {
  using Bits = unsigned int;
  static __device__ float widen(unsigned int bits) { return __uint_as_float(bits); }
};

struct BFloat16 {
  using Bits = unsigned short;
  static __device__ float widen(unsigned int bits) { return __uint_as_float(bits << 16); }
};

struct Float16 {
  using Bits = unsigned short;
  static __device__ float widen(unsigned int bits) {
    const unsigned int magnitude = (bits & 0x7fffu) << 13;  // float32 with the exponent 112 short
    const bool special = magnitude >= 0x0f800000u;          // infinity or NaN
    const float value = special ? __uint_as_float(magnitude | 0x7f800000u)
                                : __uint_as_float(magnitude) * 0x1p112f;  // exact, subnormals too
    return bits & 0x8000u ? -value : value;
  }
};

// One row's question, and what a thread has seen of the answer.
struct Question {
  float target_logit;
  float tolerance;
  int target;
  int first_id;  // ids below it can never be chosen: 1 masks EOS, 0 masks nothing
};

struct Seen {
  bool broken = false;
  bool beaten = false;
  bool close = false;
};

static __device__ bool below_infinity(float x) {  // false for NaN as well
  return x < __uint_as_float(0x7f800000u);
}

static __device__ void look(const Question& ask, int id, float logit, Seen& seen) {
  if (id < ask.first_id || id == ask.target) return;
  const float lead = logit - ask.target_logit;
  const bool lower_tie = ask.tolerance == 0 && lead == 0 && id < ask.target;
  seen.broken |= !below_infinity(logit);
  seen.beaten |= lead > ask.tolerance || lower_tie;
  seen.close |= lead >= -ask.tolerance && below_infinity(-logit);
}

// 16 bytes of logits, the first of them that of `id`. Their largest speaks for all of them where
// all are competitors on one side of the target: some 4 instructions a logit, so that memory sets the pace.
template <class Type>
static __device__ void look_at_vector(const Question& ask, int id, const uint4& vector, Seen& seen) {
  constexpr int LANES = 16 / sizeof(typename Type::Bits);
  const unsigned int words[4] = {vector.x, vector.y, vector.z, vector.w};
  float logits[LANES];
  for (int i = 0; i < LANES; ++i)
    logits[i] = Type::widen(LANES == 4 ? words[i] : words[i / 2] >> (i % 2 * 16) & 0xffffu);

  if (id < ask.first_id || (id <= ask.target && ask.target < id + LANES)) {
    for (int i = 0; i < LANES; ++i) look(ask, id + i, logits[i], seen);
    return;
  }
  float top = logits[0];
  for (int i = 0; i < LANES; ++i) {
    top = fmaxf(top, logits[i]);  // drops NaN: `broken` is what remembers it
    seen.broken |= !below_infinity(logits[i]);
  }
  look(ask, id, top, seen);
}

// The threads of the block share the ids [begin, end) of one row; 16 bytes a load where they can.
template <class Type>
static __device__ void look_at_tile(const Question& ask, const typename Type::Bits* __restrict__ row,
                                    int begin, int end, Seen& seen) {
  constexpr int LANES = 16 / sizeof(typename Type::Bits);
  const typename Type::Bits* tile = row + begin;
  const bool aligned = reinterpret_cast<unsigned long long>(tile) % 16 == 0;
  const int vectors = aligned ? (end - begin) / LANES : 0;
  const uint4* vector = reinterpret_cast<const uint4*>(tile);
  for (int i = threadIdx.x; i < vectors; i += blockDim.x)
    look_at_vector<Type>(ask, begin + i * LANES, vector[i], seen);
  for (int id = begin + vectors * LANES + threadIdx.x; id < end; id += blockDim.x)
    look(ask, id, Type::widen(row[id]), seen);
}

// The answer for one row, the same in every thread of the block.
template <class Type>
static __device__ Outcome decide_row(const typename Type::Bits* __restrict__ row, int vocabulary,
                                     long long target, float tolerance, int first_id) {
  // A target outside the vocabulary or a negative tolerance is a bug of the caller: be loud.
  if (target < 0 || target >= vocabulary || !(tolerance >= 0)) return NOT_FINITE;
  if (target < first_id) return MISS;
  const float target_logit = Type::widen(row[target]);
  if (!below_infinity(target_logit) || !below_infinity(-target_logit)) return NOT_FINITE;

  const Question ask = {target_logit, tolerance, static_cast<int>(target), first_id};
  Seen seen;
  for (int begin = 0; begin < vocabulary; begin += TILE) {
    const int end = vocabulary - begin < TILE ? vocabulary : begin + TILE;
    look_at_tile<Type>(ask, row, begin, end, seen);
    if (__syncthreads_or(seen.broken || seen.beaten))
      return __syncthreads_or(seen.broken) ? NOT_FINITE : MISS;
  }
  return __syncthreads_or(seen.close) && tolerance > 0 ? UNDECIDED : MATCH;
}

// One block a row: gridDim.x is the number of rows; `stride` counts logits from row to row.
template <class Type>
static __device__ void decide(const typename Type::Bits* logits, long long stride, int vocabulary,
                              const long long* targets, const float* tolerances, int first_id,
                              unsigned char* outcomes) {
  const long long row = blockIdx.x;
  const Outcome outcome = decide_row<Type>(logits + row * stride, vocabulary, targets[row],
                                           tolerances[row], first_id);
  if (threadIdx.x == 0) outcomes[row] = outcome;
}

#define DECIDE(name, Type)                                                                     \
  extern "C" __global__ void name(const Type::Bits* logits, long long stride, int vocabulary,  \
                                  const long long* targets, const float* tolerances,           \
                                  int first_id, unsigned char* outcomes) {                     \
    decide<Type>(logits, stride, vocabulary, targets, tolerances, first_id, outcomes);         \
  }

DECIDE(decide_float32, Float32)
DECIDE(decide_float16, Float16)
DECIDE(decide_bfloat16, BFloat16)

// How many leading tokens of each row agree; one thread a row.
extern "C" __global__ void matched_tokens(const long long* predicted, const long long* truth,
                                          int rows, int length, unsigned char* matched) {
  const long long row = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  const long long first = row * length;
  int count = 0;
  while (count < length && predicted[first + count] == truth[first + count]) ++count;
  matched[row] = static_cast<unsigned char>(count);
}
