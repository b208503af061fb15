/**
 * Where data sets can be downloaded, and the checksums of their files. Addresses and checksums are those of torchvision
 * 0.29.1; those of TinyImageNet, which it does not have, stand alike in many public readers of it.
 */

/** One file to download. */
export interface DownloadFile {
  name: string;
  /** The official place, and others that have the same file. */
  urls: readonly string[];
  md5: string;
}

/** One data set. */
export interface Download {
  title: string;
  files: readonly DownloadFile[];
  /** Of an archive: the folder that it unpacks to, and the files in it that are needed, with their checksums. */
  archive?: {
    kind: 'tar.gz' | 'zip';
    folder: string;
    files: Readonly<Record<string, string | undefined>>;
  };
  /** What `--data` takes to read it from a folder. */
  spec: (dir: string) => string;
}

const single = (base: string, name: string, md5: string, ...mirrors: string[]): DownloadFile => ({
  name,
  urls: [base, ...mirrors].map((address) => address + name),
  md5,
});

const idxNames = ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'];
/** The four files of MNIST and its relatives. */
const idxFiles = (bases: readonly [string, ...string[]], sums: readonly string[]): DownloadFile[] => {
  const [base, ...mirrors] = bases;
  return idxNames.map((name, i) => single(base, `${name}-ubyte.gz`, sums[i]!, ...mirrors));
};

/** By the name that `ptmz data get` takes. @internal */
export const downloads: Readonly<Record<string, Download>> = {
  mnist: {
    title: 'MNIST',
    files: idxFiles(
      ['https://ossci-datasets.s3.amazonaws.com/mnist/', 'http://yann.lecun.com/exdb/mnist/'],
      [
        'f68b3c2dcbeaaa9fbdd348bbdeb94873',
        'd53e105ee54ea40749a09fcbcd1e9432',
        '9fb629c4189551a2d022fa330f9573f3',
        'ec29112dd5afa0611ce80d1b7f02629c',
      ],
    ),
    spec: (dir) => `idx:${dir}`,
  },
  'fashion-mnist': {
    title: 'Fashion-MNIST',
    files: idxFiles(
      ['http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/'],
      [
        '8d4fb7e6c68d591d4c3dfef9ec88bf0d',
        '25c81989df183df01b3e8a0aad5dffbe',
        'bef4ecab320f06d8554ea6380940ec79',
        'bb300cfdad3c16e7a12a480ee83cd310',
      ],
    ),
    spec: (dir) => `fashion-mnist:${dir}`,
  },
  kmnist: {
    title: 'Kuzushiji-MNIST',
    files: idxFiles(
      ['http://codh.rois.ac.jp/kmnist/dataset/kmnist/'],
      [
        'bdb82020997e1d708af4cf47b453dcf7',
        'e144d726b3acfaa3e44228e80efcd344',
        '5c965bf0a639b31b8f53240b1b52f4d7',
        '7320c461ea6c1c855c0b718fb2a4b134',
      ],
    ),
    spec: (dir) => `idx:${dir}`,
  },
  cifar10: {
    title: 'CIFAR-10',
    files: [single('https://www.cs.toronto.edu/~kriz/', 'cifar-10-python.tar.gz', 'c58f30108f718f92721af3b95e74349a')],
    archive: {
      kind: 'tar.gz',
      folder: 'cifar-10-batches-py',
      files: {
        data_batch_1: 'c99cafc152244af753f735de768cd75f',
        data_batch_2: 'd4bba439e000b95fd0a9bffe97cbabec',
        data_batch_3: '54ebc095f3ab1f0389bbae665268c751',
        data_batch_4: '634d18415352ddfa80567beed471001a',
        data_batch_5: '482c414d41f54cd18b22e5b47cb7c3cb',
        test_batch: '40351d587109b95175f43aff81a1287e',
        'batches.meta': '5ff9c542aee3614f3951f8cda6e48888',
      },
    },
    spec: (dir) => `cifar10:${dir}`,
  },
  cifar100: {
    title: 'CIFAR-100',
    files: [single('https://www.cs.toronto.edu/~kriz/', 'cifar-100-python.tar.gz', 'eb9058c3a382ffc7106e4002c42a8d85')],
    archive: {
      kind: 'tar.gz',
      folder: 'cifar-100-python',
      files: {
        train: '16019d7e3df5f24257cddd939b257f8d',
        test: 'f0ef6b0ae62326f3e7ffdfab6717acfc',
        meta: '7973b15100ade9c7d40fb424638fde48',
      },
    },
    spec: (dir) => `cifar100:${dir}`,
  },
  svhn: {
    title: 'SVHN',
    files: [
      single('http://ufldl.stanford.edu/housenumbers/', 'train_32x32.mat', 'e26dedcc434d2e4c54c9b2d4a06d8373'),
      single('http://ufldl.stanford.edu/housenumbers/', 'test_32x32.mat', 'eb5a983be6a315427106f1b164d9cef3'),
    ],
    spec: (dir) => `svhn:${dir}`,
  },
  stl10: {
    title: 'STL-10',
    files: [
      single('http://ai.stanford.edu/~acoates/stl10/', 'stl10_binary.tar.gz', '91f7769df0f17e558f3565bffb0c7dfb'),
    ],
    archive: {
      kind: 'tar.gz',
      folder: 'stl10_binary',
      files: {
        'train_X.bin': '918c2871b30a85fa023e0c44e0bee87f',
        'train_y.bin': '5a34089d4802c674881badbb80307741',
        'test_X.bin': '7f263ba9f9e0b06b93213547f721ac82',
        'test_y.bin': '36f9794fa4beb8a2c72628de14fa638e',
        'class_names.txt': undefined,
      },
    },
    spec: (dir) => `stl10:${dir}`,
  },
  'tiny-imagenet': {
    title: 'TinyImageNet',
    files: [single('http://cs231n.stanford.edu/', 'tiny-imagenet-200.zip', '90528d7ca1a48142e341f4ef8d21d0de')],
    archive: {
      kind: 'zip',
      folder: 'tiny-imagenet-200',
      files: { 'wnids.txt': undefined, 'val/val_annotations.txt': undefined },
    },
    spec: (dir) => `tiny-imagenet:${dir}`,
  },
};
