// The settings of our OHIF: it reads this file before it starts. Nothing here depends on who asks.

window.PUBLIC_URL = '/viewer/';

// OHIF would load code from an address by this.
window.browserImportFunction = () => Promise.reject(new Error('not part of this viewer'));

// Links name the study at /viewer/, OHIF's page for it is /viewer/viewer. OHIF takes the token out of the address; it is
// kept for this tab and study, so that a reload finds it again. Whether it is still good, every request asks the server.
(() => {
  const address = new URL(window.location.href);
  const given = address.searchParams;
  if (address.pathname === '/viewer/') address.pathname = '/viewer/viewer';
  const place = `labwire-viewer ${given.getAll('StudyInstanceUIDs').concat(given.getAll('studyInstanceUIDs'))}`;
  const token = given.get('token') || window.sessionStorage.getItem(place);
  if (token) {
    window.sessionStorage.setItem(place, token);
    given.set('token', token);
  }
  given.delete('expires');
  window.history.replaceState(null, '', address);
})();

// A link that has ended leaves what is on the screen, and says so above it.
function tellRefused(status) {
  if (document.getElementById('labwire-refused') || ![401, 403].includes(status)) return;
  const line = document.createElement('div');
  line.id = 'labwire-refused';
  line.setAttribute('role', 'alert');
  line.textContent = 'This link has ended or does not open this study. Open the study from labwire again.';
  line.style.cssText =
    'position:fixed;inset:0 0 auto 0;z-index:1000;padding:12px;background:#8a1c1c;color:#fff;' +
    'font:16px sans-serif;text-align:center';
  document.body.append(line);
}

window.config = {
  name: 'labwire',
  routerBasename: '/viewer/',
  showStudyList: false,
  extensions: [],
  modes: [],
  investigationalUseDialog: { option: 'never' },
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  showErrorDetails: 'production',
  strictZSpacingForVolumeViewport: true,
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  whiteLabeling: {
    createLogoComponentFn: React => React.createElement('span', { className: 'text-foreground text-lg' }, 'labwire'),
  },
  customizationService: [{ 'ohif.tours': { $set: [] } }],
  httpErrorHandler: error => tellRefused(error?.status ?? error?.request?.status),
  defaultDataSourceName: 'labwire',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'labwire',
      configuration: {
        friendlyName: 'labwire',
        name: 'labwire',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        supportsReject: false,
        supportsStow: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        // Small pictures come ready from the server, asked for with the token.
        thumbnailRendering: 'thumbnail',
        thumbnailRequestStrategy: 'fetch',
        enableStudyLazyLoad: true,
        omitQuotationForMultipartRequest: true,
        // BulkDataURI begins with /dicom-web/: taken as it is, for the roots above are paths, too.
        bulkDataURI: { enabled: true },
        // Video and documents would be fetched by address alone, without the token.
        singlepart: '',
      },
    },
  ],
};
