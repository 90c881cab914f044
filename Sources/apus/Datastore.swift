import ArgumentParser
import Glibc
import LinuxSystem
import Store

/// Where the objects are, when they are not in the data directory.
struct DatastoreOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Keep the objects in an etcd, and stand by while another server leads there. Several members with commas between; http \
      on this machine only.
      """, valueName: "https://host:port[,...]"))
  var datastore: String?

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

  /// `nil` for the store in the data directory.
  var etcd: EtcdOptions? {
    get throws {
      guard let datastore else {
        guard datastoreCafile == nil, datastoreCertfile == nil, datastoreKeyfile == nil else {
          throw ValidationError("--datastore-cafile, --datastore-certfile and --datastore-keyfile need --datastore")
        }
        return nil
      }
      return try etcd(at: datastore)
    }
  }

  func etcd(at endpoints: String) throws -> EtcdOptions {
    do throws(StoreError) {
      return try EtcdOptions(
        endpoints: endpoints, prefix: datastorePrefix, leaseSeconds: datastoreLease, authorities: datastoreCafile,
        certificate: datastoreCertfile, key: datastoreKeyfile)
    } catch {
      throw ValidationError("--datastore: \(error)")
    }
  }
}

/// A data directory whose objects are in an etcd says so (`state/datastore`): a database that is still there, or made anew,
/// must not be taken for them.
extension DataDirectory {
  var datastoreRecord: String { "\(state)/datastore" }

  private var database: String { "\(state)/state.db" }

  /// The place where the objects are, when they are not here.
  var datastore: String? {
    guard let bytes = try? DurableFile.read(datastoreRecord, limit: 1 << 14) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? "an etcd"
  }

  /// Throws when the objects are elsewhere than where they are looked for. It changes nothing.
  func checkDatastore(_ etcd: EtcdOptions?) throws {
    switch (etcd, datastore) {
    case (nil, let elsewhere?):
      throw Failure(
        """
        the objects of \(path) are in \(elsewhere) (\(datastoreRecord) says so): give --datastore. To bring them back: \
        apus datastore copy --from URL --to \(path). Nothing was changed.
        """)
    case (let etcd?, nil) where access(database, F_OK) == 0:
      throw Failure(
        """
        the objects of \(path) are in \(database), and not in \(etcd.place). Copy them first, with the server stopped: \
        apus datastore copy --from \(path) --to URL. Nothing was changed.
        """)
    default: return
    }
  }

  /// Durable when it returns.
  func recordDatastore(_ place: String) throws(SystemError) {
    let bytes = Array("\(place)\n".utf8)
    if let found = try? DurableFile.read(datastoreRecord, limit: 1 << 14), found == bytes { return }
    try Directory.create(state, mode: 0o700)
    try DurableFile.write(bytes, to: datastoreRecord, mode: 0o600)
  }
}
