import CLinux
import Glibc
import KubeClient
import LinuxSystem
import NIOCore
import Synchronization
import Wire

extension CrunRuntime {
  public func exec(
    _ id: String, command: [String], options: TerminalOptions
  ) async throws(RuntimeError) -> any ProcessStream {
    let files = try await prepareExec(id, command: command, tty: options.tty)
    do throws(SystemError) {
      return try await options.tty ? execTerminal(files, options) : execPipes(files, options)
    } catch {
      files.remove()
      throw RuntimeError(
        error.errno == ETIMEDOUT ? .timedOut : .engine, "exec in container \(id): \(error.description)")
    }
  }

  public func execSync(
    _ id: String, command: [String], timeout: Duration, outputLimit: Int
  ) async throws(RuntimeError) -> ProcessResult {
    let options = TerminalOptions(stdin: false, stdout: true, stderr: true, tty: false)
    let stream = try await exec(id, command: command, options: options)
    let clock = ContinuousClock()
    let deadline = clock.now + timeout
    let timedOut = AtomicFlag()
    let timer = ReadinessMonitor.shared.timer(at: deadline) { outcome in
      guard case .timedOut = outcome else { return }
      timedOut.set()
      Task { await stream.close() }
    }
    defer { ReadinessMonitor.shared.cancel(timer) }
    var result = ProcessResult(status: .exited(255), stdout: [], stderr: [])
    var code: Int32?
    do {
      for try await part in stream.output {
        switch part {
        case .stdout(let bytes): Self.append(&result.stdout, bytes, outputLimit)
        case .stderr(let bytes): Self.append(&result.stderr, bytes, outputLimit)
        case .exited(let status): code = status
        }
      }
    } catch {
      throw RuntimeError(.engine, "exec in container \(id): \(error)")
    }
    guard let code else {
      await stream.close()
      if timedOut.isSet { throw .timedOut("command \(command) timed out after \(timeout)") }
      throw RuntimeError(.engine, "exec in container \(id) was interrupted")
    }
    result.status = .exited(code)
    return result
  }

  public func attach(
    _ id: String, options: TerminalOptions
  ) async throws(RuntimeError) -> any ProcessStream {
    let record = try record(id)
    guard record.phase != .exited else { throw RuntimeError(.wrongState, "container \(record.name) is not running") }
    let folder = containerFolder(id)
    do throws(SystemError) {
      let socket = try await DedicatedThread.run("apus-attach") { () throws(SystemError) in
        try Self.connectUnix(folder: folder, name: "attach", type: Int32(SOCK_SEQPACKET.rawValue))
      }
      return try AttachStream(
        socket: AsyncDescriptor(owning: socket), options: options, endsWithInput: record.leavesStdinOpen
      ) { [weak self] columns, rows in
        // conmon refuses more than 1000.
        try await self?.control(record, "1 \(min(rows, 1000)) \(min(columns, 1000))\n")
      }
    } catch {
      throw RuntimeError(.engine, "attach to container \(record.name): \(error.description)")
    }
  }

  public func connect(podUID: String, port: Int) async throws(RuntimeError) -> any ByteStream {
    let sandbox = try sandboxRecord(podUID)
    guard let number = UInt16(exactly: port), number > 0 else { throw RuntimeError(.invalid, "port \(port)") }
    // The socket belongs to the namespace of the thread that makes it, wherever it is used afterwards.
    let make: @Sendable () throws(SystemError) -> [Int32] = {
      [AF_INET, AF_INET6].map {
        socket($0, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      }
    }
    do throws(SystemError) {
      let sockets =
        sandbox.hostNetwork
        ? try make() : try await Namespaces.inNetwork("\(namespaceFolder(sandbox.networkID))/net", make)
      var failure = SystemError("connect to port \(port)", errno: ECONNREFUSED)
      var connected: AsyncDescriptor?
      for (index, fd) in sockets.enumerated() where fd >= 0 {
        let socket = try AsyncDescriptor(owning: fd)
        if connected != nil { continue }
        do throws(SystemError) {
          try await Self.connectLoopback(socket, isIPv6: index == 1, port: number)
          connected = socket
        } catch {
          if index == 0 { failure = error }
        }
      }
      guard let connected else { throw failure }
      return try SocketStream(connected)
    } catch {
      throw RuntimeError(
        error.errno == ETIMEDOUT ? .timedOut : .network, "port \(port) of pod \(sandbox.name): \(error.description)")
    }
  }

  // MARK: - exec

  /// The files of one `exec`.
  struct ExecFiles: Sendable {
    var containerID: String
    /// The OCI process.
    var process: String
    var pid: String
    var console: String
    var user: (uid: UInt32, gid: UInt32)

    func remove() { for path in [process, pid, console] { unlink(path) } }
  }

  private func prepareExec(_ id: String, command: [String], tty: Bool) async throws(RuntimeError) -> ExecFiles {
    let record = try record(id)
    guard record.phase == .running else {
      throw RuntimeError(.wrongState, "container \(record.name) is not running")
    }
    guard !command.isEmpty else { throw RuntimeError(.invalid, "no command is given") }
    let number = state.withLock { state in
      state.nextExec += 1
      return state.nextExec
    }
    let base = "\(configuration.runDirectory)/exec/\(getpid())-\(number)"
    let folder = containerFolder(id)
    return try await blocking(record.podUID, "prepare exec in container \(record.name)") { () throws(RuntimeError) in
      guard let process = RuntimeFiles.readJSON("\(folder)/config.json")?["process"] else {
        throw RuntimeError(.system, "\(folder)/config.json cannot be read")
      }
      let files = ExecFiles(
        containerID: id, process: base + ".json", pid: base + ".pid", console: base + ".sock",
        user: (
          UInt32(clamping: process["user"]?["uid"]?.int ?? 0), UInt32(clamping: process["user"]?["gid"]?.int ?? 0)
        ))
      let json = OCISpec.execProcess(container: process, command: command, tty: tty)
      do throws(SystemError) { try RuntimeFiles.write(json.serialized(), to: files.process) } catch {
        throw RuntimeError(.system, error.description)
      }
      return files
    }
  }

  private func execArguments(_ files: ExecFiles) -> [String] {
    oci.options + ["exec", "--process", files.process, "--pid-file", files.pid]
  }

  private func execPipes(_ files: ExecFiles, _ options: TerminalOptions) async throws(SystemError) -> any ProcessStream
  {
    var theirs: [Int32] = []
    defer { for fd in theirs { close(fd) } }
    var descriptors: [Subprocess.Mapping] = []
    // The container's user owns the pipes, so that it can open /dev/stdout and the like.
    func pipe(_ number: Int32, isInput: Bool) throws(SystemError) -> AsyncDescriptor {
      let pipe = try Pipe()
      let (ours, their) = isInput ? (pipe.writeEnd, pipe.readEnd) : (pipe.readEnd, pipe.writeEnd)
      theirs.append(their)
      _ = fchown(their, files.user.uid, files.user.gid)
      descriptors.append(.init(from: their, to: number))
      return try AsyncDescriptor(owning: ours)
    }
    let stdin = options.stdin ? try pipe(0, isInput: true) : nil
    let stdout = options.stdout ? try pipe(1, isInput: false) : nil
    let stderr = options.stderr ? try pipe(2, isInput: false) : nil
    let engine = try Subprocess.spawn(
      configuration.runtimePath, execArguments(files) + [files.containerID], descriptors: descriptors)
    return ExecStream(
      engine: engine, containerID: files.containerID, pidFile: files.pid, stdin: stdin, stdout: stdout, stderr: stderr,
      terminal: nil,
      finished: { files.remove() })
  }

  private func execTerminal(
    _ files: ExecFiles, _ options: TerminalOptions
  ) async throws(SystemError) -> any ProcessStream {
    let listener = try AsyncDescriptor(owning: try Self.listenUnix(files.console))
    defer { listener.close() }
    let errors = try Pipe()
    let errorReader = try AsyncDescriptor(owning: errors.readEnd)
    let engine = try startTerminal(files, errors: errors.writeEnd)
    // An engine that cannot start the process ends without ever connecting: its words are what the client gets.
    let connected = AtomicFlag()
    let ended = Task {
      let status = await engine.wait()
      if !connected.isSet { listener.close() }
      return status
    }
    do throws(SystemError) {
      try await listener.ready(.readable, .now + configuration.engineTimeout)
    } catch {
      guard error.errno == EBADF else {
        engine.signal(SIGKILL)
        throw error
      }
      _ = await ended.value
      return ExecStream(
        engine: engine, containerID: files.containerID, pidFile: files.pid, stdin: nil, stdout: errorReader,
        stderr: nil, terminal: nil,
        finished: { files.remove() })
    }
    connected.set()
    let connection = listener.withDescriptor { accept($0, nil, nil) } ?? -1
    guard connection >= 0 else {
      engine.signal(SIGKILL)
      throw .last("accept the terminal")
    }
    // The engine has connected to send; this waits for one message of it, on a thread that may wait.
    let master = try await DedicatedThread.run("apus-console") { () throws(SystemError) in
      defer { close(connection) }
      var limit = timeval(tv_sec: 10, tv_usec: 0)
      setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      let fd = clinux_receive_fd(connection)
      guard fd >= 0 else { throw .last("receive the terminal") }
      return fd
    }
    let terminal = try AsyncDescriptor(owning: master)
    let writer = try terminal.duplicate()
    return ExecStream(
      engine: engine, containerID: files.containerID, pidFile: files.pid, stdin: options.stdin ? writer : nil,
      stdout: terminal, stderr: nil,
      terminal: writer, finished: { files.remove() })
  }

  private func startTerminal(_ files: ExecFiles, errors: Int32) throws(SystemError) -> ProcessHandle {
    defer { close(errors) }
    return try Subprocess.spawn(
      configuration.runtimePath, execArguments(files) + ["--console-socket", files.console, files.containerID],
      descriptors: [.init(from: errors, to: 1), .init(from: errors, to: 2)])
  }

  // MARK: - Sockets

  private static func append(_ bytes: inout [UInt8], _ part: ByteBuffer, _ limit: Int) {
    if bytes.count < limit { bytes += part.readableBytesView.prefix(limit - bytes.count) }
  }

  private static func connectLoopback(
    _ socket: AsyncDescriptor, isIPv6: Bool, port: UInt16
  ) async throws(SystemError) {
    func result(_ fd: Int32) -> Int32 {
      if isIPv6 {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        address.sin6_addr = in6addr_loopback
        return withUnsafeBytes(of: &address) { call(fd, $0) }
      }
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      return withUnsafeBytes(of: &address) { call(fd, $0) }
    }
    func call(_ fd: Int32, _ address: UnsafeRawBufferPointer) -> Int32 {
      guard let base = address.bindMemory(to: sockaddr.self).baseAddress else { return EINVAL }
      return Glibc.connect(fd, base, socklen_t(address.count)) == 0 ? 0 : errno
    }
    var failure = socket.withDescriptor(result) ?? EBADF
    if failure == EINPROGRESS {
      try await socket.ready(.writable, .now + .seconds(10))
      failure =
        socket.withDescriptor { fd in
          var value: Int32 = 0
          var size = socklen_t(MemoryLayout<Int32>.size)
          return getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : errno
        } ?? EBADF
    }
    if failure != 0 { throw SystemError("connect", errno: failure) }
  }

  private static func unixAddress(_ path: String) throws(SystemError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SystemError("use the socket \(path)", errno: ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return address
  }

  private static func withAddress(
    _ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  private static func listenUnix(_ path: String) throws(SystemError) -> Int32 {
    let address = try unixAddress(path)
    let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { throw .last("socket") }
    guard withAddress(address, { bind(fd, $0, $1) }) == 0, listen(fd, 1) == 0 else {
      let error = SystemError.last("listen on \(path)")
      close(fd)
      throw error
    }
    return fd
  }

  /// Connects to a socket in a folder whose path may be longer than a socket's address can be.
  private static func connectUnix(folder: String, name: String, type: Int32) throws(SystemError) -> Int32 {
    let directory = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw .last("open \(folder)") }
    defer { close(directory) }
    let address = try unixAddress("/proc/self/fd/\(directory)/\(name)")
    let fd = socket(AF_UNIX, type | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { throw .last("socket") }
    guard withAddress(address, { Glibc.connect(fd, $0, $1) }) == 0 else {
      let error = SystemError.last("connect to \(folder)/\(name)")
      close(fd)
      throw error
    }
    return fd
  }
}
