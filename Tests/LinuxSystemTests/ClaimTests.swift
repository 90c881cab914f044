import Glibc
import TestKit
import Testing
import Wire

@testable import LinuxSystem

@Suite struct ClaimedRangeTests {
  private func overlap(_ one: String, _ other: String) -> Bool {
    MachineClaim.Thing(.range, "pod range", one).overlaps(MachineClaim.Thing(.range, "service range", other))
  }

  /// Against counting every address: small ranges close to one another.
  @Test(arguments: 0..<10 as Range<UInt64>) func overlapIsWhatCountingSays(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    func block() -> (text: String, addresses: Set<Int>) {
      let length = Int.random(in: 25...32, using: &random)
      let address = Int.random(in: 0..<256, using: &random)
      let size = 1 << (32 - length)
      let first = address / size * size
      return ("10.0.0.\(address)/\(length)", Set(first..<first + size))
    }
    for _ in 0..<300 {
      let (one, other, third) = (block(), block(), block())
      let expected = !one.addresses.isDisjoint(with: other.addresses)
      #expect(overlap(one.text, other.text) == expected, "\(one.text) \(other.text)")
      #expect(overlap(other.text, one.text) == expected)
      #expect(
        overlap("\(one.text),\(third.text)", other.text)
          == (expected || !third.addresses.isDisjoint(with: other.addresses)))
    }
  }

  @Test func familiesAndEdges() {
    #expect(overlap("0.0.0.0/0", "255.255.255.255/32"))
    #expect(overlap("::/0", "fd00::1/128") && !overlap("::/0", "0.0.0.0/0"))
    #expect(overlap("fd00:0:0:1::/63", "fd00::/64") == true)
    #expect(!overlap("fd00:0:0:2::/63", "fd00::/64"))
    #expect(overlap("10.0.0.0/8,fd00::/48", "fd00:0:0:9::/64,11.0.0.0/8"))
    for text in [
      "", ",", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "/8", "x/8", "10.0.0.0/8/8", "fd00::/129",
    ] {
      #expect(!overlap(text, "0.0.0.0/0") && !overlap(text, "::/0"), "\(text)")
    }
  }
}

extension MachineClaim {
  /// The value of the thing that is called so.
  fileprivate subscript(noun: String) -> String? {
    get { things.first { $0.noun == noun }?.value }
    set {
      for index in things.indices where things[index].noun == noun { things[index].value = newValue ?? "" }
    }
  }
}

@Suite struct MachineClaimFileTests {
  private let folder = TestFolder()

  private func claim(_ directory: String, _ change: (inout MachineClaim) -> Void = { _ in }) -> MachineClaim {
    var claim = MachineClaim(
      directory: directory, identity: "id\(directory.replacing("/", with: "-"))", processID: 1 << 30,
      processStart: .max,
      networkNamespace: "4:1",
      things: [
        .init(.name, "bridge", "apus0"), .init(.range, "pod range", "10.244.0.0/24"),
        .init(.range, "service range", "10.96.0.0/16"),
      ], cgroup: "/apus", runDirectory: "/run/apus", settings: ["bridgeName": "apus0"])
    change(&claim)
    return claim
  }

  @Test func aClaimComesBackFromItsFile() {
    for claim in [
      claim("/a"), claim("/\u{e9} \"x\"\n") { $0["pod range"] = "10.0.0.0/8,fd00::/64" },
      claim("/b") { ($0.processID, $0.processStart) = (.max, 0) },
    ] {
      #expect(MachineClaim(json: claim.json) == claim)
    }
  }

  /// Each field that is missing or of another type makes it no claim, and none ends the reader.
  @Test func aDamagedFieldIsNoClaim() throws {
    let whole = claim("/a").json
    let names = try #require(whole.object).keys
    #expect(names.count == 9)
    for name in names {
      for damage: JSON in [.null, .bool(true), [], .int(.max), .string("\u{0}-1"), .double(1.5)] {
        var json = whole
        json[name] = damage
        if let read = MachineClaim(json: json) {
          // Only a text may be another text, and only a list may be empty.
          let isAnother =
            name == "things"
            ? damage == [] : damage == .string("\u{0}-1") && name != "processID" && name != "processStart"
          #expect(isAnother, "\(name) \(read)")
        }
      }
    }
  }

  @Test func eachThingIsNamedOnce() {
    let mine = claim("/a") { ($0["pod range"], $0["service range"]) = ("10.0.0.0/8", "172.16.0.0/12") }
    let other = claim("/b") { ($0["bridge"], $0.cgroup, $0.runDirectory) = ("other", "/other", "/run/other") }
    // The pod range takes in both of the other's.
    #expect(mine.overlap(with: other) == ["the pod range 10.0.0.0/8"])
    #expect(other.overlap(with: mine) == ["the pod range 10.244.0.0/24", "the service range 10.96.0.0/16"])
    #expect(claim("/a").overlap(with: claim("/b")).count == 5)
    #expect(claim("/a").overlap(with: claim("/b") { $0.networkNamespace = "4:2" }).count == 2)
  }

  @Test func whoIsServed() throws {
    let start = try #require(ProcessWatch.startTime(of: getpid()))
    #expect(claim("/a") { ($0.processID, $0.processStart) = (getpid(), start) }.isServed)
    #expect(!claim("/a") { ($0.processID, $0.processStart) = (getpid(), start + 1) }.isServed)
    #expect(!claim("/a").isServed)
    #expect(try !MachineClaims.networkNamespace().isEmpty)
  }

  /// A copy of a claim's file, such as an administrator makes, is no second claim, and leads to nobody else's files.
  @Test func aFileOfAnotherNameIsNoClaim() throws {
    let claims = MachineClaims(folder: "\(folder.path)/run")
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    let bytes = try DurableFile.read("\(folder.path)/run/claims/id-a.json", limit: 1 << 16)
    for name in ["copy.json", "id-a.json.bak", ".json"] {
      try DurableFile.write(bytes, to: "\(folder.path)/run/claims/\(name)")
    }
    #expect(claims.all() == [claim("/a")])
    try folder.write("precious", to: "precious.json")
    let evil = claim("/b") { $0.identity = "../../precious" }
    try DurableFile.write(evil.json.serialized(), to: "\(folder.path)/run/claims/evil.json")
    #expect(try claims.take(claim("/c"), isAbandoned: { _ in true }).inherited == ["id-a"])
    #expect(try folder.read("precious.json") == "precious")
    try claims.release("/b")
    #expect(try folder.read("precious.json") == "precious")
    #expect(claims.claim(of: "/c")?.identity == "id-c" && claims.claim(of: "/a") == nil)
  }

  /// What is refused changes nothing; a disk that fails leaves the claim as it was.
  @Test func aFailureChangesNothing() throws {
    let claims = MachineClaims(folder: "\(folder.path)/run")
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    #expect(throws: MachineClaimError.self) { try claims.take(claim("/b"), isAbandoned: { _ in false }) }
    #expect(claims.all() == [claim("/a")])
    let changed = claim("/a") { $0["bridge"] = "other" }
    let failure = try SystemCalls.run(
      stoppingAt: [.fsync], { code { _ = try claims.take(changed, isAbandoned: { _ in false }) } },
      deciding: { _ in .fail(ENOSPC) })
    #expect(failure == ENOSPC && claims.all() == [claim("/a")])
    #expect(try Directory.list("\(folder.path)/run/claims") == ["id-a.json"])
  }
}

/// A lock that another process holds, and what happens to it when that process ends.
@Suite struct FileLockProcessTests {
  private let folder = TestFolder()
  private var path: String { "\(folder.path)/lock" }

  /// A process that holds the lock.
  private func holder() async throws -> ProcessHandle {
    let output = try Pipe()
    let handle = try Subprocess.spawn(
      "flock", ["--no-fork", "--exclusive", path, "sh", "-c", "echo held; exec sleep 1000"],
      descriptors: [.init(from: output.writeEnd, to: 1)])
    close(output.writeEnd)
    let reader = try AsyncDescriptor(owning: output.readEnd)
    #expect(try await reader.read() == Array("held\n".utf8))
    return handle
  }

  private func refusal() -> FileLockError? {
    do throws(FileLockError) { _ = try FileLock.acquire(path) } catch { return error }
    return nil
  }

  @Test func itIsRefusedWithTheHoldersName() async throws {
    let handle = try await holder()
    let error = refusal()
    #expect(error?.isHeld == true && error?.holder == handle.pid)
    #expect(FileLock.holder(of: path) == handle.pid)
    #expect(error?.description == "\(path) is locked by process \(handle.pid)")
    // One that stands still is no dead one.
    handle.signal(SIGSTOP)
    #expect(refusal()?.holder == handle.pid)
    handle.signal(SIGKILL)
    _ = await handle.wait()
  }

  /// Whether or not the kernel is done with it yet: who was killed does not keep others out.
  @Test func aKilledHolderIsWaitedFor() async throws {
    for _ in 0..<10 {
      let handle = try await holder()
      handle.signal(SIGKILL)
      #expect(refusal() == nil)
      #expect(await handle.wait() == .signaled(SIGKILL))
    }
  }

  @Test func othersSeeOurs() async throws {
    let path = path
    func tryLock() async throws -> LinuxSystem.ExitStatus {
      try await Subprocess.run("flock", ["--nonblock", "--conflict-exit-code", "9", path, "true"]).status
    }
    let lock = try FileLock.acquire(path)
    #expect(try await tryLock() == .exited(9))
    withExtendedLifetime(lock) {}
  }

  /// What the server starts outlives it, and must not keep its lock.
  @Test func childrenDoNotInheritIt() async throws {
    let child: ProcessHandle
    do {
      let lock = try FileLock.acquire(path)
      child = try Subprocess.spawn("sleep", ["1000"], descriptors: [])
      #expect(refusal() != nil)
      withExtendedLifetime(lock) {}
    }
    #expect(refusal() == nil && FileLock.holder(of: path) == nil)
    child.signal(SIGKILL)
    _ = await child.wait()
  }

  @Test func aSignalDoesNotLoseIt() throws {
    let path = path
    var count = 0
    let failure = try SystemCalls.run(stoppingAt: [.flock], { code { _ = try FileLock.acquire(path) } }) { _ in
      count += 1
      return count < 4 ? .fail(EINTR) : .proceed
    }
    #expect(failure == nil && count == 4)
    for code in [ENOLCK, EOPNOTSUPP, EIO] {
      let failure = try SystemCalls.run(
        stoppingAt: [.flock], { LinuxSystemTests.code { _ = try FileLock.acquire(path) } },
        deciding: { _ in .fail(code) })
      #expect(failure == code)
    }
    #expect(try folder.openFiles().isEmpty)
  }

  /// The folder that was locked is not the one that has its name now.
  @Test func aFolderThatWasReplacedMeanwhileIsNotTaken() throws {
    let (data, moved) = ("\(folder.path)/data", "\(folder.path)/moved")
    try Directory.create(data)
    let failure = try SystemCalls.run(stoppingAt: [.flock], { code { _ = try FileLock.acquire(directory: data) } }) {
      _ in
      rename(data, moved)
      mkdir(data, 0o755)
      return .proceed
    }
    #expect(failure == ENOENT)
    #expect(code { _ = try FileLock.acquire(directory: data) } == nil)
    #expect(code { _ = try FileLock.acquire(directory: path) } == ENOENT)
    try folder.write("", to: "file")
    #expect(code { _ = try FileLock.acquire(directory: "\(folder.path)/file") } == ENOTDIR)
  }

  @Test(arguments: [1, 2] as [UInt64]) func anyListOfLocksIsRead(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let base = Array("1: FLOCK  ADVISORY  WRITE 100 fe:00:77 0 EOF\n2: -> FLOCK ADVISORY WRITE 3 fe:00:77 0 EOF\n".utf8)
    for _ in 0..<2000 {
      var list = base
      for _ in 0..<5 {
        list[Int.random(in: 0..<list.count, using: &random)] = Array("F: 0-9>\n\u{e9}".utf8).randomElement(
          using: &random)!
      }
      let found = FileLock.holder(
        in: String(decoding: list, as: UTF8.self), major: 0xFE, minor: 0, inode: 77)
      if let found { #expect(found > 0) }
    }
  }
}
