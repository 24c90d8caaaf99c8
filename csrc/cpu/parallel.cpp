#include "cpu/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace powqmix {

namespace {

struct Job {
  const std::function<void(int64_t, int64_t)>* body;  // the caller's: there as long as a chunk is unfinished
  int64_t size, chunk, chunks;
  std::atomic<int64_t> taken{0}, finished{0};
  std::mutex mutex;
  std::condition_variable done;
  std::exception_ptr error;  // the first

  void work() {
    for (int64_t i; (i = taken.fetch_add(1)) < chunks;) {
      try {
        (*body)(i* chunk, std::min(size, (i + 1) * chunk));
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!error) error = std::current_exception();
      }
      if (finished.fetch_add(1) + 1 == chunks) {
        std::lock_guard<std::mutex> lock(mutex);
        done.notify_all();
      }
    }
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    done.wait(lock, [this] { return finished.load() == chunks; });
  }
};

class Pool {
 public:
  void offer(const std::shared_ptr<Job>& job, int helpers) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (int i = 0; i < helpers; ++i) jobs_.push_back(job);
      try {
        for (; threads_ < helpers; ++threads_) std::thread([this] { work(); }).detach();
      } catch (
          const std::system_error&) {  // the system gives no more: those that run, and the caller, are enough
      }
    }
    helpers == 1 ? wake_.notify_one() : wake_.notify_all();
  }

 private:
  void work() {
    while (true) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return !jobs_.empty(); });
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job->work();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;
  int threads_ = 0;
};

// The process's pool. It is never ended: its threads wait, and go with the process. A forked child has none
// of them, so it begins with a pool of its own.
Pool& pool() {
  static Pool* current = [] {
    pthread_atfork(nullptr, nullptr, [] { current = new Pool; });
    return new Pool;
  }();
  return *current;
}

}  // namespace

void for_chunks(int threads, int64_t size, int64_t chunk, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t chunks = (size + chunk - 1) / chunk;
  const int helpers = static_cast<int>(std::min<int64_t>(threads, chunks)) - 1;
  if (helpers <= 0) {
    if (size > 0) body(0, size);
    return;
  }
  const auto job = std::make_shared<Job>();
  job->body = &body, job->size = size, job->chunk = chunk, job->chunks = chunks;
  pool().offer(job, helpers);
  job->work();
  job->wait();
  if (job->error) std::rethrow_exception(job->error);
}

}  // namespace powqmix
