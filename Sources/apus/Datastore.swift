import ArgumentParser
import Glibc
import LinuxSystem
import Store

import struct KubeTypes.ObjectHeader

/// Where the objects are, when they are not in the data directory.
struct DatastoreOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Keep the objects in an etcd, and stand by while another server leads there. Several members with commas between; http \
      on this machine only.
      """, valueName: "https://host:port[,...]"))
  var datastore: String?

  @OptionGroup var access: EtcdAccess

  /// `nil` for the store in the data directory.
  var etcd: EtcdOptions? {
    get throws {
      guard let datastore else {
        guard !access.hasCertificates else {
          throw ValidationError("--datastore-cafile, --datastore-certfile and --datastore-keyfile need --datastore")
        }
        return nil
      }
      return try access.etcd(at: datastore)
    }
  }
}

/// How an etcd is reached, and what of it is a store's.
struct EtcdAccess: ParsableArguments {
  @Option(help: ArgumentHelp("What all keys in the etcd begin with.", valueName: "/name/"))
  var datastorePrefix = "/apus/"

  @Option(help: ArgumentHelp("After how long another server leads when this one is gone.", valueName: "seconds"))
  var datastoreLease = 10

  @Option(
    help: ArgumentHelp(
      "The authorities of the etcd's certificates in PEM form (default: the system's).", valueName: "file"))
  var datastoreCafile: String?

  @Option(help: ArgumentHelp("The certificate that the etcd is shown, in PEM form.", valueName: "file"))
  var datastoreCertfile: String?

  @Option(help: ArgumentHelp("Its private key, in PEM form.", valueName: "file"))
  var datastoreKeyfile: String?

  var hasCertificates: Bool { datastoreCafile != nil || datastoreCertfile != nil || datastoreKeyfile != nil }

  func etcd(at endpoints: String) throws -> EtcdOptions {
    do throws(StoreError) {
      return try EtcdOptions(
        endpoints: endpoints, prefix: datastorePrefix, leaseSeconds: datastoreLease, authorities: datastoreCafile,
        certificate: datastoreCertfile, key: datastoreKeyfile)
    } catch {
      throw ValidationError("\(error)")
    }
  }
}

/// A data directory whose objects are in an etcd says so (`state/datastore`): a database that is still there, or made anew,
/// must not be taken for them.
struct DatastoreRecord: Equatable {
  /// A copy that was begun, and not finished.
  enum Copy: Equatable {
    /// To the place: the objects are still in the data directory.
    case away
    /// From the place, which calls the data directory by this name. It is not given twice.
    case back(String)
  }

  /// Where they are, by `EtcdOptions.place`.
  var place: String
  var copy: Copy?

  private static let away = "copying"
  private static let back = "returning "

  /// - Throws: when it is there and cannot be read: that is not the same as none.
  static func read(_ path: String) throws -> DatastoreRecord? {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try DurableFile.read(path, limit: 1 << 14)
    } catch {
      if error.errno == ENOENT || error.errno == ENOTDIR { return nil }
      throw Failure("\(path), which says where the objects are, cannot be read: \(error). Nothing was changed.")
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    let isCopy = lines.count == 2 && (lines[1] == away || lines[1].hasPrefix(back))
    guard let place = lines.first, lines.count == 1 || isCopy else {
      throw Failure(
        """
        \(path) is not what was written. It says where the objects are: the address and prefix of an etcd, as the log of the \
        last start tells, in one line. Nothing was changed.
        """)
    }
    var record = DatastoreRecord(place: place)
    if isCopy { record.copy = lines[1] == away ? .away : .back(String(lines[1].dropFirst(back.count))) }
    return record
  }

  /// Durable when it returns.
  func write(to path: String) throws(SystemError) {
    let line =
      switch copy {
      case nil: ""
      case .away: "\(Self.away)\n"
      case .back(let name): "\(Self.back)\(name)\n"
      }
    let bytes = Array("\(place)\n\(line)".utf8)
    if let found = try? DurableFile.read(path, limit: 1 << 14), found == bytes { return }
    try DurableFile.write(bytes, to: path, mode: 0o600)
  }
}

extension DataDirectory {
  var datastoreRecord: String { "\(state)/datastore" }

  fileprivate var database: String { "\(state)/state.db" }

  /// Throws when the objects are elsewhere than where they are looked for. It changes nothing.
  ///
  /// - Returns: what was recorded.
  func checkDatastore(_ etcd: EtcdOptions?) throws -> DatastoreRecord? {
    let record = try DatastoreRecord.read(datastoreRecord)
    switch (etcd, record) {
    case (_, let record?) where record.copy == .away:
      throw Failure(
        """
        copying the objects of \(path) to \(record.place) was begun, and not finished. Finish it: \
        apus datastore copy --from \(path) --to URL. If that etcd is gone for good, with all its snapshots, the objects are \
        here alone: remove \(datastoreRecord). Nothing was changed.
        """)
    case (_, let record?) where record.copy != nil:
      throw Failure(
        """
        bringing the objects back from \(record.place) was begun, and not finished. Finish it: \
        apus datastore copy --from URL --to \(path). Nothing was changed.
        """)
    case (nil, let record?):
      throw Failure(
        """
        the objects of \(path) are in \(record.place) (\(datastoreRecord) says so): give --datastore. To bring them back: \
        apus datastore copy --from URL --to \(path). Nothing was changed.
        """)
    case (let etcd?, nil) where access(database, F_OK) == 0:
      throw Failure(
        """
        the objects of \(path) are in \(database), and not in \(etcd.place). Copy them first, with the server stopped: \
        apus datastore copy --from \(path) --to URL. Nothing was changed.
        """)
    default: return record
    }
  }

  /// Durable when it returns.
  func recordDatastore(_ place: String) throws(SystemError) {
    try Directory.create(state, mode: 0o700)
    try DatastoreRecord(place: place).write(to: datastoreRecord)
  }
}

/// What can be done with a store without a server.
struct DatastoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "datastore", abstract: "Bring the objects of a data directory into an etcd, and back.",
    subcommands: [Copy.self])

  struct Copy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "copy", abstract: "Copy all objects, with their revisions, to where none are.",
      discussion: """
        One of the two is a data directory, the other one an etcd. No server may run on either. What is written is read again
        and compared before it counts. The objects stay where they were, and no server starts on them there any more. A copy \
        that was cut short is finished by the same command.

          sudo apus datastore copy --from /var/lib/apus --to https://10.0.0.2:2379
          sudo apus datastore copy --from https://10.0.0.2:2379 --to /var/lib/apus
        """)

    @Option(help: ArgumentHelp("Where the objects are.", valueName: "dir|https://host:port[,...]"))
    var from: String

    @Option(help: ArgumentHelp("Where they are to be.", valueName: "dir|https://host:port[,...]"))
    var to: String

    @OptionGroup var access: EtcdAccess

    private static func isAddress(_ text: String) -> Bool { text.hasPrefix("https://") || text.hasPrefix("http://") }

    func validate() throws {
      guard Self.isAddress(from) != Self.isAddress(to) else {
        throw ValidationError("one of --from and --to is a data directory, the other one an etcd: https://HOST:PORT")
      }
      _ = try access.etcd(at: Self.isAddress(from) ? from : to)
    }

    func run() async throws {
      try await Terminal.reporting {
        guard geteuid() == 0 else { throw Failure("apus datastore copy reads root's files: sudo apus datastore copy") }
        let isOut = Self.isAddress(to)
        let etcd = try access.etcd(at: isOut ? to : from)
        let data = try DataDirectory.named(isOut ? from : to)
        guard Glibc.access(data.keys, F_OK) == 0 else {
          throw Failure("\(data.path) is no data directory of a cluster: it has no keys in \(data.keys)")
        }
        // No server, and none that begins meanwhile.
        let lock = try data.lock()
        try DirectoryMark.check(data)
        do {
          let copy = try await isOut ? send(data, etcd) : fetch(data, etcd)
          Terminal.say(
            "copied \(copy.count) objects of revision \(copy.revision) to \(to). Start the server "
              + (isOut
                ? "with --datastore \(to); the database is in \(data.database).copied."
                : "without --datastore; \(from) keeps what it held, and says that it is here now."))
        } catch let error as StoreError {
          throw Failure("\(error)")
        }
        withExtendedLifetime(lock) {}
      }
    }

    private func send(_ data: DataDirectory, _ etcd: EtcdOptions) async throws -> StoreCopy {
      let path = data.datastoreRecord
      let earlier = try DatastoreRecord.read(path)
      let resumes = earlier?.copy == .away
      if let earlier, resumes {
        guard EtcdOptions.isSame(earlier.place, etcd.place) else {
          throw Failure(
            "copying the objects to \(earlier.place) was begun, and not finished: finish that, with the same --to")
        }
      } else {
        _ = try data.checkDatastore(nil)
      }
      let copy = try await StoreCopy.copy(
        from: data.state, to: etcd, resumes: resumes, name: serverName, time: SystemClock(),
        header: { try ObjectHeader(parsing: $0) }, lost: endWithoutAnswer
      ) { () throws(StoreError) in
        // From here on no server takes the database for the objects.
        try Self.system { () throws(SystemError) in try DatastoreRecord(place: etcd.place, copy: .away).write(to: path)
        }
      } undone: {
        unlink(path)
        try? Directory.sync(data.state)
      }
      try data.recordDatastore(etcd.place)
      // What is older than the objects from now on must not be found when the record is lost.
      for suffix in ["", "-wal", "-shm"] where Glibc.access(data.database + suffix, F_OK) == 0 {
        guard rename(data.database + suffix, "\(data.database).copied\(suffix)") == 0 else {
          throw SystemError.last("rename \(data.database)\(suffix)")
        }
      }
      try Directory.sync(data.state)
      return copy
    }

    private func fetch(_ data: DataDirectory, _ etcd: EtcdOptions) async throws -> StoreCopy {
      let path = data.datastoreRecord
      let earlier = try DatastoreRecord.read(path)
      if let earlier, earlier.copy == .away {
        throw Failure(
          "copying the objects of \(data.path) to \(earlier.place) was begun, and not finished: finish that first")
      }
      guard let cluster = try data.identity(isStoreElsewhere: true).cluster else {
        throw Failure("\(data.path) does not say which cluster it is of: restore \(data.keys)/cluster from a backup")
      }
      // Machines may have the same name, and a machine may get another one before this is finished.
      var name = "\(Composition.hostname):\(data.path) (\(String(UInt64.random(in: .min ... .max), radix: 36)))"
      if let earlier, case .back(let before) = earlier.copy {
        guard EtcdOptions.isSame(earlier.place, etcd.place) else {
          throw Failure(
            "bringing the objects back from \(earlier.place) was begun, and not finished: finish that first")
        }
        name = before
      }
      let copy = try await StoreCopy.copy(
        from: etcd, to: data.state, called: name, cluster: cluster, name: serverName, time: SystemClock(),
        header: { try ObjectHeader(parsing: $0) }, lost: endWithoutAnswer
      ) { [name] () throws(StoreError) in
        // Until it is finished nothing starts on this data directory.
        try Self.system { () throws(SystemError) in
          try DatastoreRecord(place: etcd.place, copy: .back(name)).write(to: path)
        }
      }
      unlink(path)
      try Directory.sync(data.state)
      return copy
    }

    private static func system(_ body: () throws(SystemError) -> Void) throws(StoreError) {
      do throws(SystemError) { try body() } catch { throw .io(error.description) }
    }
  }
}

/// What this process is called in an etcd.
var serverName: String { "\(Composition.hostname), process \(getpid())" }

/// Ends the process at once: what it would answer may be wrong already.
@Sendable func endWithoutAnswer(_ reason: String) -> Never {
  // Not to be kept from it by a reader that does not read. A pipe that is ready takes a page without waiting.
  var output = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
  if poll(&output, 1, 0) == 1 { Terminal.note("apus: \(reason)") }
  _exit(1)
}
