import Content
import Distribution
import LinuxSystem
import OCI
import Wire

/// Builds images from Dockerfiles: a plan of steps, each looked up in the cache by what it depends on, run in containers
/// where that is needed, several at a time.
///
/// Everything goes through one content store, so a base image that is here is not pulled, a step that was done is not
/// done again, and what is built can run at once. Several builds, also of several processes, may use one work folder:
/// each has a folder of its own in it, with a lock that tells whether its process lives. What a killed build left is
/// removed when the next one starts. A step that several of them need at the same time is carried out once
/// (``SharedSteps``, ``StepRendezvous``).
public final class ImageBuilder: Sendable {
  public struct Configuration: Sendable {
    /// For steps that run, on the store's file system: overlay's upper folders become the store's unpacked layers.
    public var workDirectory: String
    /// `crun`: a path, or a name in PATH.
    public var runtimePath = "crun"
    /// The first part of the cgroup path of every step.
    public var cgroupRoot = "apus-build"
    /// The host's resolver configuration, shown to steps.
    public var resolverConfiguration = "/etc/resolv.conf"
    /// Bytes of one step's output that are passed on; the rest is read and dropped, with a note.
    public var outputMax = 2 << 20
    /// What the cache's layers may take; beyond it the records that were not used for the longest time go.
    public var cacheBytesMax: Int64 = 50 << 30

    /// Of the program, for provenance.
    public var version = ""

    public init(workDirectory: String) { self.workDirectory = workDirectory }
  }

  let content: ContentStore
  let images: ImageStore
  let client: RegistryClient
  let credentials: @Sendable (Reference) -> Credentials?
  let configuration: Configuration
  let time: any TimeSource
  /// The steps that its builds carry out at the moment.
  let steps: SharedSteps<StepIdentity, MadeStep>
  let means: BuilderMeans

  /// - Parameters:
  ///   - credentials: what a registry is to be told, by the reference that is asked for.
  ///   - time: for `created`, and for the times of what steps make.
  public init(
    content: ContentStore, images: ImageStore, client: RegistryClient,
    credentials: @escaping @Sendable (Reference) -> Credentials? = { _ in nil }, configuration: Configuration,
    time: any TimeSource = SystemClock()
  ) {
    self.content = content
    self.images = images
    self.client = client
    self.credentials = credentials
    self.configuration = configuration
    self.time = time
    // All that a step may print, and what else is said about it.
    steps = SharedSteps(logMax: configuration.outputMax + (1 << 20))
    means = BuilderMeans(configuration, store: content.root)
  }
}
