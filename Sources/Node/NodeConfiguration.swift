/// What a node is called and where it keeps things. Fixed for the life of a `Node`.
public struct NodeConfiguration: Sendable {
  /// The Node object's name.
  public var name: String
  /// Pod records, volumes and logs live in `pods/<uid>` below this absolute path, on a file system that outlives a
  /// reboot.
  public var dataDirectory: String
  /// For what must not outlive a reboot.
  public var runDirectory: String
  /// The node's own addresses, one of each family that its pods have: `InternalIP` and every pod's `hostIPs`, the first one
  /// its `hostIP`.
  public var nodeIPs: [String] = ["127.0.0.1"]
  /// The ranges that pod addresses come from (CIDR notation), one of each family.
  public var podCIDRs: [String] = ["10.244.0.0/24"]
  /// The range that service addresses come from (CIDR notation).
  public var serviceCIDR: String = "10.96.0.0/16"
  /// Without a leading or trailing dot.
  public var clusterDomain: String = "cluster.local"
  /// The address of the cluster's DNS server.
  public var clusterDNS: String = "10.96.0.10"
  /// `KUBERNETES_SERVICE_HOST` of every container.
  public var apiServerHost: String = "10.96.0.1"
  /// `KUBERNETES_SERVICE_PORT` of every container.
  public var apiServerPort: Int = 443
  /// How many pods may be here; one more that is bound to the node fails with `OutOfpods`.
  public var maxPods: Int = 110
  /// `kubeletVersion`, with its `v`.
  public var version: String = "v1.33.0"
  /// The machine's resolver settings (resolv.conf(5)), read for each pod that is made.
  public var resolverPath: String = "/etc/resolv.conf"
  /// How long one look at a path that a pod names (`hostPath`) may take: what is mounted there may never answer.
  public var pathDeadline: Duration = .seconds(10)
  /// The container engine, for `containerRuntimeVersion` and the scheme of container ids.
  public var runtimeName: String = "crun"
  public var runtimeVersion: String = "1.8.1"
  /// The port of the kubelet API, or zero when it is served in process only.
  public var kubeletPort: Int = 0
  /// How often the Lease is renewed (KEP 589).
  public var leaseInterval: Duration = .seconds(10)
  /// How often the Node's status is looked at; it is written when it changed, and every five minutes.
  public var statusInterval: Duration = .seconds(10)

  /// A docker `config.json` with credentials for every pod's pulls, used after those of the pod's own secrets; read anew
  /// for each pull. `nil` for none, and a file that does not exist is none.
  public var imageCredentialsPath: String?
  /// How many images are pulled at a time.
  public var parallelImagePullsMax: Int = 4
  /// How images start before all of them is here; `nil` for pulling every image as a whole.
  public var lazyPull: LazyPullPolicy?
  /// When and how far images are removed for want of space.
  public var imageCollection = ImageCollectionPolicy()

  public init(name: String, dataDirectory: String, runDirectory: String) {
    self.name = name
    self.dataDirectory = dataDirectory
    self.runDirectory = runDirectory
  }
}

/// When images that the node pulled are removed to make space (kubelet's `imageGCHighThresholdPercent` and the like).
public struct ImageCollectionPolicy: Sendable, Equatable {
  /// Percent of the image store's file system in use from which images are removed; 100 for never.
  public var highThresholdPercent: Int = 85
  /// Percent in use down to which they are removed.
  public var lowThresholdPercent: Int = 80
  /// A younger image stays.
  public var minimumAge: Duration = .seconds(120)
  /// Between two looks at the file system.
  public var interval: Duration = .seconds(300)

  public init() {}
}

extension NodeConfiguration {
  /// `DATA/pods`.
  var podsDirectory: String { "\(dataDirectory)/pods" }

  func podDirectory(_ uid: String) -> String { "\(podsDirectory)/\(uid)" }

  /// `DATA/pods/<uid>/volumes/<name>`.
  func volumeDirectory(_ uid: String, _ volume: String) -> String { "\(podDirectory(uid))/volumes/\(volume)" }

  /// `DATA/pods/<uid>/mounts`: the volumes that drivers mount, and their records.
  func mountsDirectory(_ uid: String) -> String { "\(podDirectory(uid))/mounts" }

  /// `DATA/stages`: where drivers stage volumes for all pods.
  var stagesDirectory: String { "\(dataDirectory)/stages" }

  /// `DATA/pods/<uid>/logs/<container>/<attempt>.log`, the last three as below `/var/log/pods`.
  func logPath(_ uid: String, container: String, attempt: Int) -> String {
    "\(podDirectory(uid))/logs/\(container)/\(attempt).log"
  }

  /// The copy of the pod that lets it run on while the API is away.
  func recordPath(_ uid: String) -> String { "\(podDirectory(uid))/pod.json" }

  /// Which images the node pulled itself, and when they were last used.
  var pulledImagesPath: String { "\(dataDirectory)/pulled-images.json" }
}
