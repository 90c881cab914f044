import CLinux
import Glibc
import LinuxSystem

/// Programs of the machine that do what we have no library for.
enum HelperProgram {
  /// Where the standard output of one goes.
  enum Output {
    case nowhere
    case file(String)
    /// Called with what comes, in order; when it throws, the program is killed.
    case reader(([UInt8]) throws(BuildError) -> Void)
  }

  /// What one may take of the machine.
  struct Limits: Sendable {
    var time = Duration.seconds(1800)
    /// Of every single file that it writes.
    var fileBytes = UInt64(Download.bytesMax)
    /// Of everything in a folder, looked at while it runs; `nil` is without a limit.
    var folder: FolderLimit?
  }

  /// What may be in a folder.
  struct FolderLimit: Sendable {
    var path: String
    var entriesMax: Int
    /// On the disk.
    var bytesMax: Int64

    /// Whether there is more. What comes and goes meanwhile is counted or not; no link is followed. Names are bytes, and a
    /// tree that is deeper than a path is long is more than anything. Blocks.
    func isExceeded() -> Bool {
      var entries = 0
      var bytes: Int64 = 0
      var folders = [path.utf8CString.dropLast()]
      while let folder = folders.popLast() {
        guard let stream = opendir(Array(folder) + [0]) else {
          if errno == ENAMETOOLONG { return true }
          continue
        }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
          guard let name = clinux_entry_name(entry) else { continue }
          if strcmp(name, ".") == 0 || strcmp(name, "..") == 0 { continue }
          var status = stat()
          guard fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
          entries += 1
          bytes += Int64(status.st_blocks) * 512
          if entries > entriesMax || bytes > bytesMax { return true }
          if status.st_mode & S_IFMT == S_IFDIR {
            folders.append(
              folder + [CChar(bitPattern: UInt8(ascii: "/"))] + UnsafeBufferPointer(start: name, count: strlen(name)))
          }
        }
      }
      return false
    }
  }

  /// A program begins only when it counts to the build and has its limits, which are then those of all that it starts:
  /// the shell waits for a line. When we are killed before, its end comes instead, and the program never begins.
  private static let gated = #"read -r _ <&3 && exec "$0" "$@" 3<&-"#

  private struct Outcome {
    /// `nil` when it had to be killed.
    var status: ExitStatus?
    var refusal: BuildError?
    var tail: [String]
  }

  /// Runs one to its end. When that does not come in time, or the task is cancelled, it is killed with what it started.
  ///
  /// - Parameters:
  ///   - input: a file that is its standard input. Opened here: a path may mean another file to another process
  ///     (`/proc/self/fd`).
  ///   - build: whose it is.
  ///   - missing: what to say when it is not installed.
  static func run(
    _ program: String, _ arguments: [String], input: String? = nil, output: Output = .nowhere,
    environment: [String: String] = [:], limits: Limits = Limits(), of build: BuildFolder, missing: String
  ) async throws(BuildError) {
    let outcome: Outcome
    do throws(SystemError) {
      outcome = try await execute(program, arguments, input, output, environment, limits, build)
    } catch {
      if error.errno == ENOENT, error.operation.hasPrefix("find \(program) ") {
        throw BuildError(.unsupported, missing)
      }
      throw BuildError(error)
    }
    if Task.isCancelled { throw .cancelled }
    if let refusal = outcome.refusal { throw refusal }
    guard let status = outcome.status else {
      throw BuildError(.network, "\(program) did not end within \(limits.time) and was killed")
    }
    guard status.isSuccess else {
      let said = outcome.tail.joined(separator: "\n")
      throw BuildError(.network, "\(program): \(said.isEmpty ? status.description : said)")
    }
  }

  private static func execute(
    _ program: String, _ arguments: [String], _ input: String?, _ output: Output, _ environment: [String: String],
    _ limits: Limits, _ build: BuildFolder
  ) async throws(SystemError) -> Outcome {
    let deadline = ContinuousClock.now + limits.time
    var ours: [Int32] = []
    defer { for fd in ours { close(fd) } }
    let errors = try Pipe()
    ours.append(errors.writeEnd)
    let errorReader = try AsyncDescriptor(owning: errors.readEnd)
    var descriptors = [Subprocess.Mapping(from: errors.writeEnd, to: 2)]
    if let input {
      let file = open(input, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw SystemError.last("open \(input)") }
      ours.append(file)
      descriptors.append(.init(from: file, to: 0))
    }
    var reader: AsyncDescriptor?
    switch output {
    case .nowhere: break
    case .file(let path):
      let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
      guard file >= 0 else { throw SystemError.last("create \(path)") }
      ours.append(file)
      descriptors.append(.init(from: file, to: 1))
    case .reader:
      let pipe = try Pipe()
      ours.append(pipe.writeEnd)
      reader = try AsyncDescriptor(owning: pipe.readEnd)
      descriptors.append(.init(from: pipe.writeEnd, to: 1))
    }
    let variables = Subprocess.defaultEnvironment.merging(environment) { _, new in new }
    let gate = try Pipe()
    ours.append(gate.readEnd)
    let opener = try AsyncDescriptor(owning: gate.writeEnd)
    descriptors.append(.init(from: gate.readEnd, to: 3))
    let process = try Subprocess.spawn(
      "/bin/sh", ["-c", gated, try Subprocess.find(program, variables)] + arguments, environment: variables,
      descriptors: descriptors, newSession: true)
    _ = clinux_limit_file_size(process.pid, limits.fileBytes)
    for fd in ours { close(fd) }
    ours = []
    try? await blocking { () throws(BuildError) in build.adopt(process.pid) }
    try? await opener.write([0x0A])
    opener.close()

    let tail = OutputTail()
    async let said: Void = collect(errorReader, into: tail, deadline: deadline)
    var outcome = Outcome(status: nil, refusal: nil, tail: [])
    if let reader, case .reader(let body) = output {
      do throws(BuildError) {
        while let bytes = try? await reader.read(deadline: deadline), !bytes.isEmpty { try body(bytes) }
      } catch {
        outcome.refusal = error
      }
    }
    if outcome.refusal == nil, let folder = limits.folder {
      outcome.refusal = await watch(process, folder, deadline: deadline, &outcome.status)
    } else if outcome.refusal == nil {
      outcome.status = await process.wait(deadline: deadline)
    }
    if outcome.status == nil {
      kill(-process.pid, SIGKILL)
      process.signal(SIGKILL)
      // Cancelled or not: what it writes to must not go before it does.
      _ = await Task { await process.wait(deadline: .now + .seconds(5)) }.value
    }
    // What it left behind may hold the pipe: what is in it is enough.
    errorReader.drain()
    await said
    outcome.tail = tail.lines
    return outcome
  }

  /// Waits for the end, and looks at the folder meanwhile; a long look makes the next one later.
  ///
  /// - Returns: why it has to be killed.
  private static func watch(
    _ process: ProcessHandle, _ folder: FolderLimit, deadline: ContinuousClock.Instant, _ status: inout ExitStatus?
  ) async -> BuildError? {
    var pause = Duration.milliseconds(500)
    while true {
      let now = ContinuousClock.now
      status = await process.wait(deadline: min(deadline, now + pause))
      if status != nil || Task.isCancelled || ContinuousClock.now >= deadline { return nil }
      let start = ContinuousClock.now
      if (try? await blocking { () throws(BuildError) in folder.isExceeded() }) == true {
        return BuildError(
          .context,
          "more than \(folder.entriesMax) files or \(SizeText.decimal(folder.bytesMax)) came, and it was ended")
      }
      pause = max(pause, (ContinuousClock.now - start) * 10)
    }
  }

  private static func collect(
    _ reader: AsyncDescriptor, into tail: OutputTail, deadline: ContinuousClock.Instant
  ) async {
    while let bytes = try? await reader.read(deadline: deadline), !bytes.isEmpty { tail.append(bytes) }
  }
}
