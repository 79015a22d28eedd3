// Runs decide.cu on the CPU: each CUDA thread of a block is a std::thread, the blocks take turns.
//
// It knows only what decide.cu uses of CUDA; host_NAME(blocks, threads, ...) launches kernel NAME.

#include <atomic>
#include <barrier>
#include <bit>
#include <cmath>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // blocks take turns

struct Index {
  unsigned int x;
};
struct alignas(16) uint4 {
  unsigned int x, y, z, w;
};

static Index blockIdx, blockDim;
static thread_local Index threadIdx;

static float __uint_as_float(unsigned int bits) { return std::bit_cast<float>(bits); }

static std::atomic<int> votes;
static int verdict;
struct Count {  // runs once, when the last thread arrives and before the first one leaves
  void operator()() noexcept { verdict = votes.exchange(0); }
};
static std::barrier<Count>* block_barrier;

static int __syncthreads_or(int vote) {
  if (vote) votes = 1;
  block_barrier->arrive_and_wait();
  return verdict;
}

static void __syncthreads() { __syncthreads_or(0); }

#include "decide.cu"

template <class Kernel>
static void launch(unsigned int blocks, unsigned int threads, Kernel kernel) {
  blockDim.x = threads;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    std::barrier<Count> barrier(threads);
    block_barrier = &barrier;
    std::vector<std::thread> block;
    for (unsigned int i = 0; i < threads; ++i)
      block.emplace_back([&kernel, &barrier, i] {
        threadIdx.x = i;
        kernel();
        barrier.arrive_and_drop();
      });
    for (std::thread& thread : block) thread.join();
  }
}

#define HOST(name, Type)                                                                          \
  extern "C" void host_##name(unsigned int blocks, unsigned int threads,                          \
                              const Type::Bits* logits, long long stride, int vocabulary,         \
                              const long long* targets, const float* tolerances, int first_id,    \
                              unsigned char* outcomes) {                                          \
    launch(blocks, threads, [=] {                                                                 \
      name(logits, stride, vocabulary, targets, tolerances, first_id, outcomes);                  \
    });                                                                                           \
  }

HOST(decide_float32, Float32)
HOST(decide_float16, Float16)
HOST(decide_bfloat16, BFloat16)

#define HOST_SCORE(name, Type)                                                                    \
  extern "C" void host_##name(unsigned int blocks, unsigned int threads,                          \
                              const Type::Bits* logits, long long stride, int vocabulary,         \
                              const long long* targets, const float* tolerances, float sharpness, \
                              int first_id, unsigned char* outcomes, float* log_p) {              \
    launch(blocks, threads, [=] {                                                                 \
      name(logits, stride, vocabulary, targets, tolerances, sharpness, first_id, outcomes,        \
           log_p);                                                                                \
    });                                                                                           \
  }

HOST_SCORE(score_float32, Float32)
HOST_SCORE(score_float16, Float16)
HOST_SCORE(score_bfloat16, BFloat16)

extern "C" void host_matched_tokens(unsigned int blocks, unsigned int threads,
                                    const long long* predicted, const long long* truth, int rows,
                                    int length, unsigned char* matched) {
  launch(blocks, threads, [=] { matched_tokens(predicted, truth, rows, length, matched); });
}

extern "C" float host_widen_float16(unsigned int bits) { return Float16::widen(bits); }
