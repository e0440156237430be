/* SPDX-License-Identifier: MIT */
/* cxx_watch.cpp - a C++17 program that is called back for new snapshots, of files made by hand. */
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include <shmbus/layout.h>
#include <shmbus/producer.h>
#include <shmbus/snapshot.h>

#include "tap.h"

static const uint64_t log_offset = 4096, log_size = 4096;
static const uint64_t interval_ns = 20000000;

struct call {
	uint64_t seq, gap;
	std::string document;
};

static std::vector<call> calls;

static void on_snapshot(const shmbus_snapshot *snapshot, uint64_t gap, void *data)
{
	tap_check(data == &calls);
	calls.push_back(
		{snapshot->seq, gap,
		 std::string(reinterpret_cast<const char *>(snapshot->data), snapshot->size)});
}

static uint64_t now_ns()
{
	timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

/* What an agent does, without one. */
class publisher
{
	std::string name_;
	shmbus_snapshot_header *header_ = nullptr;
	uint64_t position_ = 0;

	void leave()
	{
		if (header_ != nullptr)
			munmap(header_, log_offset + log_size);
		shm_unlink(name_.c_str());
		header_ = nullptr;
	}

      public:
	explicit publisher(const char *bus) : name_(std::string("/shmbus.") + bus + ".snapshot")
	{
	}
	~publisher()
	{
		leave();
	}

	void begin()
	{
		void *map;
		int fd;

		leave();
		fd = shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || ftruncate(fd, log_offset + log_size) != 0)
			std::abort();
		map = mmap(nullptr, log_offset + log_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
		if (map == MAP_FAILED)
			std::abort();
		close(fd);
		header_ = static_cast<shmbus_snapshot_header *>(map);
		header_->magic = SHMBUS_SNAPSHOT_MAGIC;
		header_->version = SHMBUS_SNAPSHOT_VERSION;
		header_->log_offset = log_offset;
		header_->log_size = log_size;
		position_ = 1024;
	}

	void publish(uint64_t seq, const char *text, uint64_t age_ns = 0)
	{
		shmbus_snapshot_index index = {};
		shmbus_snapshot_extent extent = {};
		char *log = reinterpret_cast<char *>(header_) + log_offset;

		index.seq = seq;
		index.time_monotonic_ns = now_ns() - age_ns;
		index.interval_ns = interval_ns;
		index.document_size = std::strlen(text);
		index.extent_count = 1;
		extent.position = position_ + 256;
		extent.size = index.document_size;
		std::memcpy(log + position_ % log_size, &index, sizeof index);
		std::memcpy(log + position_ % log_size + sizeof index, &extent, sizeof extent);
		std::memcpy(log + extent.position % log_size, text, index.document_size);
		header_->index.store(position_);
		position_ += 512;
	}
};

static bool readable(const shmbus_snapshot_watch *watch, int timeout_ms)
{
	pollfd wait = {shmbus_snapshot_watch_fd(watch), POLLIN, 0};

	return poll(&wait, 1, timeout_ms) == 1 && (wait.revents & POLLIN) != 0;
}

/* Dispatches as a program does until a result comes. */
static bool until(shmbus_snapshot_watch *watch, int result)
{
	for (int i = 0; i < 10000; i++) {
		if (!readable(watch, 20000))
			return false;
		if (shmbus_snapshot_watch_dispatch(watch) == result)
			return true;
	}
	return false;
}

static bool last_is(size_t count, uint64_t seq, uint64_t gap, const char *document)
{
	return calls.size() == count && calls.back().seq == seq && calls.back().gap == gap &&
	       calls.back().document == document;
}

static void each_snapshot(publisher &agent, const char *bus)
{
	shmbus_snapshot_watch *watch = nullptr;

	tap_check(shmbus_snapshot_watch_open(bus, 0, on_snapshot, &calls, &watch) == 0);
	tap_ok(until(watch, -ENOENT), "no agent has published");
	tap_check(shmbus_snapshot_watch_dispatch(watch) == 0 && calls.empty());
	agent.begin();
	tap_ok(until(watch, -ENOENT), "there is one, and it has not published");
	agent.publish(5, "first");
	tap_ok(until(watch, 1) && last_is(1, 5, 0, "first"), "nothing was missed before the first");
	tap_ok(until(watch, 0) && calls.size() == 1, "nothing new is no call");
	agent.publish(6, "second");
	tap_ok(until(watch, 1) && last_is(2, 6, 0, "second"), "the next one");
	agent.publish(7, "unseen");
	agent.publish(8, "unseen");
	agent.publish(9, "third");
	tap_ok(until(watch, 1) && last_is(3, 9, 2, "third"), "two were not seen");
	tap_ok(until(watch, -ESTALE) && calls.size() == 3, "nothing new for long");
	tap_check(std::strstr(shmbus_strerror(-ESTALE), "nothing new for") != nullptr);
	agent.begin();
	agent.publish(10, "fourth");
	tap_ok(until(watch, 1) && last_is(4, 10, 0, "fourth"), "an agent that goes on");
	agent.begin();
	agent.publish(1, "anew");
	tap_ok(until(watch, 1) && last_is(5, 1, 0, "anew"), "an agent that begins anew");
	agent.begin();
	agent.publish(1, "anew");
	tap_ok(until(watch, 0) && calls.size() == 5, "one snapshot in two files is one");
	shmbus_snapshot_watch_close(watch);
	calls.clear();
}

/* An hour between two calls: after the first the timer is far away. */
static void seldom(publisher &agent, const char *bus)
{
	shmbus_snapshot_watch *watch = nullptr;

	agent.begin();
	agent.publish(3, "old", 3600000000000u);
	tap_check(shmbus_snapshot_watch_open(bus, 3600000000000u, on_snapshot, &calls, &watch) ==
		  0);
	tap_ok(until(watch, 1) && last_is(1, 3, 0, "old"), "an old snapshot is one");
	agent.publish(4, "new");
	tap_ok(!readable(watch, 100), "not before the program wants one");
	tap_check(shmbus_snapshot_watch_dispatch(watch) == 0 && calls.size() == 1);
	shmbus_snapshot_watch_close(watch);
}

int main()
{
	const char *own = std::getenv("SHMBUS_BUS");
	std::string bus = std::string(own != nullptr ? own : "default") + "-w";
	shmbus_snapshot_watch *watch = nullptr;
	publisher agent(bus.c_str());

	tap_check(shmbus_snapshot_watch_open("a/b", 0, on_snapshot, nullptr, &watch) == -EINVAL &&
		  watch == nullptr);
	tap_check(shmbus_snapshot_watch_open(nullptr, 0, nullptr, nullptr, &watch) == -EINVAL);
	each_snapshot(agent, bus.c_str());
	seldom(agent, bus.c_str());
	shmbus_snapshot_watch_close(nullptr);
	return tap_done();
}
