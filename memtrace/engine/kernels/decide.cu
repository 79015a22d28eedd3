// The greedy decision on rows of logits, the log probability of a token, and the count of matched
// tokens, as CUDA kernels.
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
// A score is the decision and, from the same pass, log softmax(logits / temperature)[target]. Each
// thread sums exp((logit - largest so far) / temperature) of its ids; the threads' sums are added in
// one order, whatever their number. NaN or +infinity anywhere in a row makes it NaN.
//
// No header is included: the source compiles under NVRTC without include paths, and as C++ on a
// host that supplies blockIdx, threadIdx, blockDim, uint4, fmaxf, expf, logf, __uint_as_float,
// __shared__, __syncthreads and __syncthreads_or.

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
template <int LANES>
static __device__ void look_at_vector(const Question& ask, int id, const float (&logits)[LANES],
                                      Seen& seen) {
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

// What of a row a thread has summed: the sum of exp((logit - largest) * sharpness).
struct Sum {
  float largest = __uint_as_float(0xff800000u);  // -infinity
  float sum = 0;
};

static __device__ void add(Sum& to, float largest, float sum, float sharpness) {
  if (!below_infinity(largest)) {  // NaN or +infinity: NaN for good
    to.largest = __uint_as_float(0x7f800000u);
    to.sum = __uint_as_float(0x7fc00000u);
  } else if (largest > to.largest) {
    to.sum = sum + (to.sum == 0 ? 0 : to.sum * expf((to.largest - largest) * sharpness));
    to.largest = largest;
  } else if (below_infinity(-largest)) {
    to.sum += sum * expf((largest - to.largest) * sharpness);
  }
}

template <int LANES>
static __device__ void add_vector(Sum& to, const float (&logits)[LANES], float sharpness) {
  float top = logits[0];
  bool numbers = true;  // fmaxf drops NaN
  for (int i = 0; i < LANES; ++i) {
    top = fmaxf(top, logits[i]);
    numbers &= logits[i] == logits[i];
  }
  float sum = 0;  // NaN where all are -infinity, which are nothing to add
  for (int i = 0; i < LANES; ++i) sum += expf((logits[i] - top) * sharpness);
  add(to, numbers ? top : __uint_as_float(0x7fc00000u), sum, sharpness);
}

// The threads of the block share the ids [begin, end) of one row; 16 bytes a load where they can.
// `visit` is given the first id and a vector of logits, or one of each.
template <class Type, class Visit>
static __device__ void read_tile(const typename Type::Bits* __restrict__ row, int begin, int end,
                                 Visit& visit) {
  constexpr int LANES = 16 / sizeof(typename Type::Bits);
  const typename Type::Bits* tile = row + begin;
  const bool aligned = reinterpret_cast<unsigned long long>(tile) % 16 == 0;
  const int vectors = aligned ? (end - begin) / LANES : 0;
  const uint4* vector = reinterpret_cast<const uint4*>(tile);
  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    const uint4 loaded = vector[i];
    const unsigned int words[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
    float logits[LANES];
    for (int j = 0; j < LANES; ++j)
      logits[j] = Type::widen(LANES == 4 ? words[j] : words[j / 2] >> (j % 2 * 16) & 0xffffu);
    visit.vector(begin + i * LANES, logits);
  }
  for (int id = begin + vectors * LANES + threadIdx.x; id < end; id += blockDim.x)
    visit.one(id, Type::widen(row[id]));
}

struct Look {
  const Question& ask;
  Seen& seen;
  template <int LANES>
  __device__ void vector(int id, const float (&logits)[LANES]) {
    look_at_vector(ask, id, logits, seen);
  }
  __device__ void one(int id, float logit) { look(ask, id, logit, seen); }
};

struct LookAndSum {
  const Question& ask;
  Seen& seen;
  Sum& sum;
  float sharpness;
  bool decided;
  template <int LANES>
  __device__ void vector(int id, const float (&logits)[LANES]) {
    if (!decided) look_at_vector(ask, id, logits, seen);
    if (id >= ask.first_id) {
      add_vector(sum, logits, sharpness);
    } else {
      for (int i = ask.first_id - id; i < LANES; ++i) add(sum, logits[i], 1, sharpness);
    }
  }
  __device__ void one(int id, float logit) {
    if (!decided) look(ask, id, logit, seen);
    if (id >= ask.first_id) add(sum, logit, 1, sharpness);
  }
};

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
  Look looking = {ask, seen};
  for (int begin = 0; begin < vocabulary; begin += TILE) {
    const int end = vocabulary - begin < TILE ? vocabulary : begin + TILE;
    read_tile<Type>(row, begin, end, looking);
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

// The sum over all threads of the block, in one order; right in thread 0.
static __device__ Sum sum_of_block(Sum mine, float sharpness) {
  __shared__ float largest[1024], sums[1024];  // no block has more threads
  largest[threadIdx.x] = mine.largest, sums[threadIdx.x] = mine.sum;
  __syncthreads();
  for (unsigned int step = 1; step < blockDim.x; step *= 2) {
    const unsigned int other = threadIdx.x + step;
    if (threadIdx.x % (2 * step) == 0 && other < blockDim.x) {
      add(mine, largest[other], sums[other], sharpness);
      largest[threadIdx.x] = mine.largest, sums[threadIdx.x] = mine.sum;
    }
    __syncthreads();
  }
  return mine;
}

// One block a row, as decide(); a row is read to its end even where it is decided before.
template <class Type>
static __device__ void score(const typename Type::Bits* logits, long long stride, int vocabulary,
                             const long long* targets, const float* tolerances, float sharpness,
                             int first_id, unsigned char* outcomes, float* log_p) {
  const typename Type::Bits* row = logits + blockIdx.x * stride;
  const long long target = targets[blockIdx.x];
  const float tolerance = tolerances[blockIdx.x];
  const bool asked = target >= 0 && target < vocabulary && tolerance >= 0;
  const float target_logit = asked ? Type::widen(row[target]) : 0;
  const bool finite = asked && below_infinity(target_logit) && below_infinity(-target_logit);
  const bool masked = asked && target < first_id;

  const Question ask = {target_logit, tolerance, static_cast<int>(asked ? target : 0), first_id};
  Outcome outcome = masked ? MISS : NOT_FINITE;
  Seen seen;
  Sum sum;
  LookAndSum visit = {ask, seen, sum, sharpness, masked || !finite};
  for (int begin = 0; begin < vocabulary; begin += TILE) {
    const int end = vocabulary - begin < TILE ? vocabulary : begin + TILE;
    read_tile<Type>(row, begin, end, visit);
    if (!visit.decided && __syncthreads_or(seen.broken || seen.beaten)) {
      outcome = __syncthreads_or(seen.broken) ? NOT_FINITE : MISS;
      visit.decided = true;
    }
  }
  if (!visit.decided) outcome = __syncthreads_or(seen.close) && tolerance > 0 ? UNDECIDED : MATCH;
  sum = sum_of_block(sum, sharpness);
  if (threadIdx.x != 0) return;
  outcomes[blockIdx.x] = outcome;
  const float nothing = __uint_as_float(0x7fc00000u), never = __uint_as_float(0xff800000u);
  log_p[blockIdx.x] = !asked   ? nothing
                      : masked ? never
                               : (target_logit - sum.largest) * sharpness - logf(sum.sum);
}

#define SCORE(name, Type)                                                                        \
  extern "C" __global__ void name(const Type::Bits* logits, long long stride, int vocabulary,    \
                                  const long long* targets, const float* tolerances,             \
                                  float sharpness, int first_id, unsigned char* outcomes,        \
                                  float* log_p) {                                                \
    score<Type>(logits, stride, vocabulary, targets, tolerances, sharpness, first_id, outcomes,  \
                log_p);                                                                          \
  }

SCORE(score_float32, Float32)
SCORE(score_float16, Float16)
SCORE(score_bfloat16, BFloat16)

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
