import Glibc
import LinuxSystem
import Wire

/// The program that makes and starts containers (OCI runtime specification): `crun`, or `runc`.
package struct OCIEngine: Sendable {
  package enum OutputStream: Sendable {
    case stdout
    case stderr
  }

  /// A path, or a name in PATH.
  package let program: String
  /// Where it keeps what it knows of its containers; in memory.
  package let stateFolder: String
  private let mount: EngineMount?

  /// - Parameter mount: shows the program where it need not show itself for each command.
  package init(program: String, stateFolder: String, mount: EngineMount? = nil) {
    self.program = program
    self.stateFolder = stateFolder
    self.mount = mount
  }

  /// By its name.
  var isRunc: Bool { (program.split(separator: "/").last ?? "").hasPrefix("runc") }

  /// What goes before every command. `runc` keeps cgroups by itself without being told.
  package var options: [String] { ["--root", stateFolder] + (isRunc ? [] : ["--cgroup-manager=cgroupfs"]) }

  // MARK: - The machine

  /// How many open files containers may have: a million, or less where this process itself may not have so many.
  package static func openFilesMax() -> Int64 {
    var files = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
    return Int64(clamping: min(files.rlim_max, 1_048_576))
  }

  /// The machine's cgroups, with what crun refuses to work with put right: a mix of the two versions. Blocks shortly.
  ///
  /// - Returns: with the controllers that were mounted for that.
  package static func usableCgroups() throws(SystemError) -> (layout: CgroupLayout, mounted: [String]) {
    var layout = try CgroupLayout.current()
    let mounted = try layout.mountLeftoverControllers()
    return (layout, mounted)
  }

  // MARK: - Commands

  /// Runs one command to its end, and throws what the engine says when it fails.
  package func command(
    _ arguments: [String], stdin: [UInt8]? = nil, timeout: Duration
  ) async throws(RuntimeError) -> ProcessResult {
    let path = try path()
    let result: ProcessResult
    do throws(SystemError) {
      result = try await Subprocess.run(path, options + arguments, stdin: stdin, timeout: timeout)
    } catch {
      throw RuntimeError(
        error.errno == ETIMEDOUT ? .timedOut : .engine, "\(program) \(arguments.first ?? ""): \(error.description)")
    }
    guard result.status.isSuccess else {
      throw RuntimeError(.engine, "\(program) \(arguments.first ?? ""): \(result.message)")
    }
    return result
  }

  /// What is run. Blocks shortly.
  package func path() throws(RuntimeError) -> String {
    do throws(SystemError) {
      let found = try Subprocess.find(program, Subprocess.defaultEnvironment)
      // Where it cannot be mounted it is run as it is, and takes care of itself.
      return (try? mount?.path(of: found)) ?? found
    } catch {
      throw RuntimeError(.engine, "\(program) is not installed; install the package \(program)")
    }
  }

  // MARK: - To the end

  /// Runs a container to its end, and reads its output meanwhile: for one that nobody attaches to and that does not outlive
  /// its caller. It needs no monitor.
  ///
  /// When the task is cancelled the container is ended, and this throws once it has ended.
  ///
  /// - Parameters:
  ///   - bundle: the folder with `config.json`, in memory. What the engine itself says comes into the file `log` in it.
  ///   - end: ends whatever runs of the container.
  ///   - output: is given what the container writes, one part after another of each stream; the container waits for it.
  /// - Returns: how the container ended, or the engine that could not start it: see `refusal`.
  /// - Throws: `ECANCELED`; `ENOENT` when the engine is not installed.
  package func run(
    _ id: String, bundle: String, end: @escaping @Sendable () async -> Void,
    output: @escaping @Sendable (OutputStream, [UInt8]) -> Void
  ) async throws(SystemError) -> ExitStatus {
    let arguments = options + ["--log", "\(bundle)/log", "--log-format", "json", "run", "--bundle", bundle, id]
    let standard = try Pipe()
    let standardReader: AsyncDescriptor
    do throws(SystemError) { standardReader = try AsyncDescriptor(owning: standard.readEnd) } catch {
      close(standard.writeEnd)
      throw error
    }
    let errors: Pipe
    do throws(SystemError) { errors = try Pipe() } catch {
      close(standard.writeEnd)
      throw error
    }
    let errorReader: AsyncDescriptor
    let process: ProcessHandle
    do throws(SystemError) {
      errorReader = try AsyncDescriptor(owning: errors.readEnd)
      process = try Subprocess.spawn(
        program, arguments, directory: bundle,
        descriptors: [.init(from: standard.writeEnd, to: 1), .init(from: errors.writeEnd, to: 2)], newSession: true)
    } catch {
      close(standard.writeEnd)
      close(errors.writeEnd)
      throw error
    }
    close(standard.writeEnd)
    close(errors.writeEnd)
    async let first: Void = Self.pass(standardReader, .stdout, to: output)
    async let second: Void = Self.pass(errorReader, .stderr, to: output)
    var ended = await process.wait()
    if ended == nil {
      // Cancelled: the container goes, and with it the engine that waits for it.
      await withoutCancellation { await end() }
      ended = await withoutCancellation { await process.wait(deadline: .now + .seconds(10)) }
      if ended == nil {
        process.signal(SIGKILL)
        ended = await withoutCancellation { await process.wait(deadline: .now + .seconds(5)) }
      }
    }
    // The container's processes are gone with its first one: nobody holds the pipes any more.
    standardReader.drain()
    errorReader.drain()
    _ = await (first, second)
    standardReader.close()
    errorReader.close()
    guard !Task.isCancelled, let ended else { throw SystemError("run", errno: ECANCELED) }
    return ended
  }

  private static func pass(
    _ reader: AsyncDescriptor, _ stream: OutputStream, to output: @Sendable (OutputStream, [UInt8]) -> Void
  ) async {
    while let bytes = try? await reader.read(), !bytes.isEmpty { output(stream, bytes) }
  }

  /// What the engine said last in the `log` of a container that it could not start; `nil` when it started. Blocks shortly.
  package static func refusal(bundle: String) -> String? {
    (try? DurableFile.read("\(bundle)/log", limit: 1 << 20)).flatMap(lastMessage)
  }

  /// The last message of an engine's log, warnings aside: lines of JSON with `msg`.
  package static func lastMessage(_ log: [UInt8]) -> String? {
    for line in log.split(separator: 0x0a).reversed() {
      if let json = try? JSON.parse(Array(line)), let message = json["msg"]?.string, !message.isEmpty,
        json["level"]?.string != "warning"
      {
        return message
      }
    }
    return nil
  }
}

/// Runs it although the task is cancelled: what was started must end before its files go.
package func withoutCancellation<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) async -> Value {
  await Task { await body() }.value
}
